"""What the commands about models do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from cardex.api.client import Client
from cardex.cli.render import progress_bar
from cardex.domain.errors import CardexError, ConfigurationError, IndexMissing
from cardex.domain.settings import Settings
from cardex.evaluation.dataset import open_dataset
from cardex.inference.control import replicas
from cardex.inference.repository import newest
from cardex.models.builders import RTX, load_api
from cardex.models.comparison import AIM, compare, examples_of, sample_of
from cardex.models.deploy import Deployment, Progress, VersionState
from cardex.models.engine import Built, write
from cardex.models.files import alone
from cardex.models.plans import build_plans
from cardex.models.precision import Precision


class GatewayIndexes:
    """The gateway's index service, as a deployment sees it."""

    def __init__(self, client: Client) -> None:
        """Ask `client`."""
        self._client = client

    def answering(self) -> str:
        """Return the model version that answers, "" where there is no index."""
        try:
            return str(self._client.index().model_version)
        except CardexError as error:
            if error.reason == IndexMissing.reason:
                return ""
            raise

    def migrate(self, model_version: str, *, shadow: bool) -> Iterator[tuple[int, int]]:
        """Make the index of a version, and unless `shadow` switch to it."""
        for update in self._client.migrate(model_version, shadow=shadow):
            yield update.stored, update.total


def run_list(settings: Settings, *, as_json: bool) -> None:
    """Print the versions."""
    with _deployment(settings) as deployment:
        states = deployment.states()
    if as_json:
        print(json.dumps([asdict(state) for state in states], indent=2))
        return
    table = Table("number", "version", "served", "answers", box=None)
    for state in states:
        served, answers = "yes" if state.served else "", "yes" if state.answering else ""
        table.add_row(str(state.triton_version), state.version, served, answers)
    Console(highlight=False).print(table)


def run_deploy(
    settings: Settings, source: Path, *, shadow: bool, as_json: bool, console: Console
) -> None:
    """Deploy behind a progress bar, and say what answers now."""
    with _changing(settings) as deployment, _progress(console) as on_progress:
        state = deployment.deploy(source, on_progress, shadow=shadow)
    _say(state, as_json=as_json, console=console)


def run_rollback(settings: Settings, version: str, *, as_json: bool, console: Console) -> None:
    """Roll back behind a progress bar, and say what answers now."""
    with _changing(settings) as deployment, _progress(console) as on_progress:
        state = deployment.rollback(on_progress, version)
    _say(state, as_json=as_json, console=console)


def run_retire(settings: Settings, number: int) -> None:
    """Take a version out of service."""
    with _changing(settings) as deployment:
        deployment.retire(number)


@contextmanager
def _changing(settings: Settings) -> Iterator[Deployment]:
    """Let one command at a time change the repository; Triton reads what it writes in between."""
    with alone(settings.model_repository), _deployment(settings) as deployment:
        yield deployment


@contextmanager
def _deployment(settings: Settings) -> Iterator[Deployment]:
    servers = replicas(settings.triton_url, timeout_s=settings.triton_timeout_s)
    with Client.from_settings(settings) as client:
        yield Deployment(settings.model_repository, servers, GatewayIndexes(client))


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    with progress_bar(console) as progress:
        task = progress.add_task("loading the models", total=None)

        def on_progress(stored: int, total: int) -> None:
            progress.update(task, description="embedding reports", completed=stored, total=total)

        yield on_progress


def _say(state: VersionState, *, as_json: bool, console: Console) -> None:
    if as_json:
        print(json.dumps(asdict(state), indent=2))
    elif state.answering:
        console.print(f"{state.version} (version {state.triton_version}) answers")
    else:
        console.print(
            f"{state.version} (version {state.triton_version}) is loaded, its index is made;"
            f" `cardex models"
            " deploy` again lets it answer"
        )


@dataclass(frozen=True, slots=True)
class EngineWish:
    """What engines are to be built.

    Attributes:
        gpu: as in "sm_90"; None for the GPU at hand.
        precision: of the engines.
        builder: "tensorrt" or "tensorrt_rtx"; None for the first that is installed.
        out: folder that takes them; None for the version's own folders.
        data: PTB-XL's folder or a manifest, which int8 is calibrated on.
    """

    gpu: str | None
    precision: Precision
    builder: str | None = None
    out: Path | None = None
    data: Path | None = None


def run_build(repository: Path, wish: EngineWish, *, as_json: bool) -> None:
    """Build the engines of the newest version, and print what was chosen.

    Raises:
        ConfigurationError: if they cannot be built, or not by this builder for Triton.
    """
    api, release = load_api(wish.builder), newest(repository)
    if api.name == RTX and wish.out is None:
        raise ConfigurationError(
            f"Triton cannot load what {api} builds: give --out FOLDER to compile for a look, or"
            f" install tensorrt in the version of Triton's container"
        )
    examples = None
    if wish.precision is Precision.INT8 and wish.data is not None:
        examples = examples_of(release, open_dataset(wish.data))
    table = Table("model", "gpu", "precision", "layers", "batch", "MB", "seconds", box=None)

    def on_progress(model: str, built: Built) -> None:
        report = built.report
        layers = " ".join(f"{count} {kind}" for kind, count in report.layers.items())
        batch = next(iter(report.profiles.values()))
        sizes = "/".join(str(s[0]) for s in (batch.smallest, batch.typical, batch.largest))
        megabytes, seconds = f"{report.plan_bytes / 1e6:.1f}", f"{report.seconds:g}"
        table.add_row(model, report.gpu, wish.precision.value, layers, sizes, megabytes, seconds)

    cache = (wish.out or repository.resolve().parent / ".cardex") / "timing.cache"
    plans = build_plans(
        release, api, wish.gpu, wish.precision,
        timing_cache=cache, examples=examples, on_progress=on_progress,
    )  # fmt: skip
    # Only now: a version has engines for all its models, or none.
    for model, built in plans.items():
        write(built, wish.out / model if wish.out else release.folder(model))
    if as_json:
        reports = {model: msgspec.to_builtins(built.report) for model, built in plans.items()}
        print(json.dumps(reports, indent=2))
    else:
        Console(highlight=False).print(table)


def run_compare(
    repository: Path, precision: Precision, data: Path, fold: int, *, as_json: bool
) -> None:
    """Print how far the reduced graphs answer as in fp32."""
    release, dataset = newest(repository), open_dataset(data)
    examples = examples_of(release, dataset) if precision is Precision.INT8 else None
    figures = compare(release, precision, sample_of(release, dataset, fold), examples)
    if as_json:
        print(json.dumps(figures, indent=2))
        return
    table = Table("", "", box=None, show_header=False)
    for name, value in figures.items():
        table.add_row(name, f"{value:.5f}" if isinstance(value, float) else str(value))
    table.add_row("aim of the overlap", f"at least {AIM}")
    Console(highlight=False).print(table)
