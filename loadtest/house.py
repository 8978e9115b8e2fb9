"""A stack of its own for a benchmark, with the demo's reports as its index."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cardex.api.client import Client
from cardex.domain.settings import Settings, load_settings
from cardex.local_stack.dataset import DemoData, fetch
from cardex.local_stack.endpoints import Endpoints
from cardex.local_stack.stack import Stack
from cardex.reports.ptbxl import distinct_reports
from loadtest.traffic import Source, archive, bedside


class House:
    """A running stack.

    Attributes:
        settings: those of the environment.
        stack: its processes.
        client: a client of its gateway.
        data: the demo's data.
    """

    def __init__(self, settings: Settings, stack: Stack, client: Client, data: DemoData) -> None:
        """Use a stack that is ready."""
        self.settings, self.stack, self.client, self.data = settings, stack, client, data

    @property
    def endpoints(self) -> Endpoints:
        """Where its parts are."""
        assert self.stack.endpoints is not None
        return self.stack.endpoints

    def bedside(self, per_s: float, seconds: float, seed: int = 1) -> Source:
        """Prepare STAT ECGs."""
        return self._source(bedside, per_s, seconds, seed)

    def archive(self, records: int, seed: int = 2) -> Source:
        """Prepare an import."""
        return self._source(archive, records, seed)

    def _source(self, work: Callable[..., Any], *arguments: Any) -> Source:  # noqa: ANN401
        data = self.settings.data_dir / "data"
        return Source(work, self.endpoints.gateway, data, *arguments)

    def warm_up(self) -> None:
        """Send some of both kinds, and forget how long they took."""
        for source in (self.archive(256, seed=98), self.bedside(10.0, 3.0, seed=99)):
            source.begin()
            source.result()


@contextmanager
def house(reports: int | None = None) -> Iterator[House]:
    """Start a stack in a folder of its own, and index the demo's reports, or the first of them."""
    settings = load_settings()
    data = fetch(settings.data_dir / "data", print)
    with TemporaryDirectory(prefix="cardex-load-") as folder:
        local = settings.model_copy(update={"data_dir": Path(folder)})
        with Stack(local) as stack:
            assert stack.endpoints is not None
            target = local.model_copy(update={"gateway_target": stack.endpoints.gateway})
            with Client.from_settings(target) as client:
                list(client.upsert(distinct_reports(data.ptbxl)[:reports], rebuild=True))
                yield House(settings, stack, client, data)
