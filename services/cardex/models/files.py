"""Writes files atomically, and lets one process at a time change a folder."""

import errno
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from cardex.domain.errors import Busy

logger = logging.getLogger(__name__)

BUSY_S = 30.0


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder, against other processes that ask for it; none if it is missing.

    Raises:
        Busy: if another process holds it.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # The caller will report a folder that it cannot use.
            opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, opened)
            _lock(opened, folder)
        yield


def _lock(opened: int, folder: Path) -> None:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            raise Busy(
                f"another command is changing {folder}: wait for it, then look at"
                " `cardex models list`",
                retry_after_s=BUSY_S,
            ) from error
        # Some network file systems do not lock a folder.
        logger.warning("%s cannot be locked (%s): let nobody else deploy meanwhile", folder, error)


def replace(path: Path, content: bytes) -> None:
    """Replace a file atomically: write the content to a draft beside it, and rename that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        if path.exists():
            shutil.copymode(path, draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
