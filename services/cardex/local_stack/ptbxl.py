"""PTB-XL from PhysioNet, or from a mirror of the same layout."""

from collections.abc import Callable
from pathlib import Path

from cardex.domain.errors import ConfigurationError
from cardex.local_stack.checksums import top_level_or_below
from cardex.local_stack.downloads import Download, Missing, alone_in
from cardex.local_stack.http_files import READ_S, HttpFiles

RECORDS100, RECORDS500 = "records100", "records500"


def download_ptbxl(
    url: str,
    folder: Path,
    on_progress: Callable[[int, int], None],
    *,
    records500: bool = False,
    jobs: int = 8,
    read_s: float = READ_S,
) -> list[Missing]:
    """Fetch the tables and the ECGs at 100 Hz; returns the files that could not be had.

    Args:
        url: address of the data set.
        folder: where it goes.
        on_progress: is told how many files are done, of how many.
        records500: whether the ECGs at 500 Hz are wanted too.
        jobs: how many files at once.
        read_s: a connection that brings nothing for so long is given up.

    Raises:
        CardexError: if the server does not answer, the address is wrong, or the folder cannot be
            written.
    """
    with alone_in(folder):
        download = Download(HttpFiles(url, connections=jobs, read_s=read_s), folder)
        ecgs = (RECORDS100, RECORDS500) if records500 else (RECORDS100,)
        wanted = top_level_or_below(download.published(), *ecgs)
        if not any(file.path.parts[0] == RECORDS100 for file in wanted):
            raise ConfigurationError(
                f"{url} lists no file below {RECORDS100}: CARDEX_PTBXL_URL must be the address of"
                " PTB-XL, 1.0.1 or later"
            )
        return download.fetch(wanted, jobs, lambda done: on_progress(done, len(wanted)))
