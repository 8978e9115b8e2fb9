"""Brings a model version into service, and takes it out, while requests are answered.

Both versions are loaded side by side. The report index in force names the version that answers: for
a new version an index is made from the same reports, and the switch to it is one step in Milvus.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cardex.domain.errors import CardexError, ConfigurationError, Unavailable
from cardex.inference.control import Replica
from cardex.inference.repository import ModelVersion, model_versions, newest
from cardex.models.install import ORDER, install, serve, served_versions, uninstall

logger = logging.getLogger(__name__)

QUIET_S = 3.0
"""A version without requests for so long is unused: workers look at the index every second."""
PATIENCE_S = 60.0

Progress = Callable[[int, int], None]
"""Is called with the number of reports in the new index, and how many there will be."""


class Indexes(Protocol):
    """The gateway's side of a deployment."""

    def answering(self) -> str:
        """Return the model version that answers, "" where there is no index."""

    def migrate(self, model_version: str, *, shadow: bool) -> Iterator[tuple[int, int]]:
        """Make the index of a version, and unless `shadow` switch to it; yields (stored, total)."""


@dataclass(frozen=True, slots=True)
class VersionState:
    """One version of a model repository.

    Attributes:
        triton_version: version number in Triton.
        version: name of the version, from its model card.
        served: whether the configurations list it, so that Triton loads it.
        answering: whether the index in force was made for it.
    """

    triton_version: int
    version: str
    served: bool
    answering: bool


class Deployment:
    """Deploys into one live model repository and the servers that read it."""

    def __init__(
        self,
        repository: Path,
        servers: Sequence[Replica],
        indexes: Indexes,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare deployments; nothing is read or sent yet.

        Args:
            repository: the live model repository.
            servers: every Triton that reads it.
            indexes: the gateway's index service.
            clock: seconds, monotonic.
            sleep: waits for so many seconds.
        """
        self._repository = repository
        self._servers = servers
        self._indexes = indexes
        self._clock = clock
        self._sleep = sleep

    def states(self) -> list[VersionState]:
        """Return the versions in the repository, the oldest first."""
        served, answering = served_versions(self._repository), self._indexes.answering()
        return [
            VersionState(
                release.triton_version,
                release.version(),
                release.triton_version in served,
                release.version() == answering,
            )
            for release in model_versions(self._repository)
        ]

    def deploy(self, source: Path, on_progress: Progress, *, shadow: bool = False) -> VersionState:
        """Install the newest version of another repository, load it, and let it answer.

        Args:
            source: a model repository, as `cardex train` writes it.
            on_progress: called while the index is made.
            shadow: whether to stop before the version answers; a second call continues from there.

        Raises:
            CardexError: if the version does not fit, does not load or answers its probes wrongly.
                Then the versions that were served stay, and the new one is not served.
        """
        known = model_versions(self._repository)
        try:
            release = install(newest(source), self._repository)
        except OSError as error:
            raise ConfigurationError(
                f"cannot copy {source} into the model repository {self._repository}: {error};"
                " give it room and the right to write, and deploy again"
            ) from error
        try:
            self._load(release)
        except CardexError:
            if release not in known:
                uninstall(release)
            raise
        self._migrate(release.version(), on_progress, shadow=shadow)
        return VersionState(release.triton_version, release.version(), True, not shadow)

    def rollback(self, on_progress: Progress, version: str = "") -> VersionState:
        """Let another loaded version answer again, and take the one that answered out of service.

        Args:
            on_progress: called while the index is made; if no report changed, there is nothing to
                embed.
            version: name of the version to go back to; "" for the newest served one before the
                version that answers.

        Raises:
            CardexError: if there is no such version, or its index cannot be made; nothing changes.
        """
        states = self.states()
        left = next((state for state in states if state.answering), None)
        if left is None:
            raise ConfigurationError(
                "no version of this repository answers: deploy one, or build the index"
            )
        back = _way_back(states, left, version)
        self._migrate(back.version, on_progress, shadow=False)
        try:
            self.retire(left.triton_version)
        except CardexError as error:
            # The rollback itself is done: to repeat it would go back one more version.
            logger.warning("%s; later: cardex models retire %d", error.message, left.triton_version)
        return VersionState(back.triton_version, back.version, True, True)

    def retire(self, triton_version: int) -> None:
        """Unload a version once it has no more requests; its folders stay.

        Raises:
            ConfigurationError: if it answers, is not served, or is the only one served.
            Unavailable: if it still has requests after a minute.
        """
        state = next(
            (state for state in self.states() if state.triton_version == triton_version), None
        )
        if state is None or not state.served or state.answering:
            why = "answers" if state and state.answering else "is not served"
            raise ConfigurationError(f"version {triton_version} {why}: see `cardex models list`")
        kept = [one for one in served_versions(self._repository) if one != triton_version]
        if not kept:
            raise ConfigurationError(f"version {triton_version} is the only one that is served")
        self._wait_quiet(triton_version)
        if self._indexes.answering() == state.version:
            raise ConfigurationError(
                f"version {triton_version} answers again: nothing was unloaded"
            )
        serve(self._repository, kept)
        self._load_all()

    def _load(self, release: ModelVersion) -> None:
        """Serve a version beside the others; undo that if it does not load or answers wrongly."""
        triton_versions = served_versions(self._repository)
        if release.triton_version in triton_versions and self._lacks(release) is None:
            return
        others = [
            triton_version
            for triton_version in triton_versions
            if triton_version != release.triton_version
        ]
        serve(self._repository, [*others, release.triton_version])
        try:
            self._load_all()
            if (server := self._lacks(release)) is not None:
                raise ConfigurationError(
                    f"Triton at {server.address} loaded {release.version()} as version"
                    f" {release.triton_version}, but it cannot be used: the warning above says why"
                )
        except CardexError:
            serve(self._repository, triton_versions)
            self._load_all()
            raise

    def _lacks(self, release: ModelVersion) -> Replica | None:
        """Return a server on which the version cannot be used, None where all have it."""
        version = release.version()
        lacking = (one for one in self._servers if not one.serves(version, self._repository))
        return next(lacking, None)

    def _load_all(self) -> None:
        for server in self._servers:
            for model in ORDER:
                if (self._repository / model).is_dir():
                    server.load(model)

    def _migrate(self, version: str, on_progress: Progress, *, shadow: bool) -> None:
        for stored, total in self._indexes.migrate(version, shadow=shadow):
            on_progress(stored, total)

    def _wait_quiet(self, triton_version: int) -> None:
        """Wait until the version has had no request for `QUIET_S`; raises Unavailable."""
        give_up = self._clock() + PATIENCE_S
        asked, since = -1, self._clock()
        while self._clock() - since < QUIET_S:
            release = ModelVersion(self._repository, triton_version)
            models = [model for model in ORDER if release.folder(model).is_dir()]
            now = sum(
                server.asked(model, triton_version) for server in self._servers for model in models
            )
            if now != asked:
                asked, since = now, self._clock()
            if self._clock() > give_up:
                raise Unavailable(
                    f"version {triton_version} still has requests: another program uses it",
                    retry_after_s=PATIENCE_S,
                )
            self._sleep(0.25)


def _way_back(states: Sequence[VersionState], left: VersionState, version: str) -> VersionState:
    loaded = [state for state in states if state.served and not state.answering]
    wanted = [
        state
        for state in loaded
        if (state.version == version if version else state.triton_version < left.triton_version)
    ]
    if not wanted:
        names = ", ".join(f"{state.version} (version {state.triton_version})" for state in loaded)
        raise ConfigurationError(
            f"there is no way back from {left.version}"
            f"{f' to {version}' if version else ''}: beside it Triton serves {names or 'nothing'};"
            " deploy the version to go back to"
        )
    return wanted[-1]
