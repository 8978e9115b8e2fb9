"""The command line. Commands import what they need when they run, so that each starts fast."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from cardex.cli.console import JsonFlag, console, error_messages, gateway_client
from cardex.cli.data import data
from cardex.cli.held_out import held_out_sites
from cardex.cli.models import models
from cardex.domain.cases import Nearness
from cardex.domain.jobs import Priority
from cardex.domain.settings import Settings, load_settings

app = typer.Typer(
    help="Cardex: a card index of ECGs. RESEARCH USE ONLY.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
TRAINING_PACKAGES = ("torch", "onnx", "ot", "sklearn", "transformers")

Compiled = Annotated[bool, typer.Option("--compile", help="Through torch.compile.")]
NearnessOption = Annotated[
    Nearness | None,
    typer.Option(help="Compare with the texts of reports, the ECGs of cases, or both."),
]

keys = typer.Typer(help="API keys.", no_args_is_help=True)
app.add_typer(keys, name="keys")
app.add_typer(models, name="models")
app.add_typer(data, name="data")
app.command()(held_out_sites)


@app.command()
def up(
    gateway_port: Annotated[int, typer.Option(help="gRPC port; 0 takes a free one.")] = 0,
    web_port: Annotated[int, typer.Option(help="HTTP port; 0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    insecure: Annotated[bool, typer.Option(help="Serve others without TLS and keys.")] = False,
) -> None:
    """Run everything on this machine until Ctrl-C."""
    from cardex.cli.stack import run_up

    with error_messages():
        settings = load_settings()
        if insecure:
            settings = settings.model_copy(update={"insecure": True})
        run_up(settings, gateway_port=gateway_port, web_port=web_port, host=host, console=console)


@app.command()
def demo() -> None:
    """Index all PTB-XL reports and find the nearest ones for real ECGs."""
    from cardex.cli.demo import run_demo

    with error_messages():
        run_demo(load_settings(), Console(highlight=False))


@app.command()
def doctor(as_json: JsonFlag = False) -> None:
    """Say what is installed, what is missing and what to do."""
    from cardex.local_stack.doctor import examine

    with error_messages():
        checks = examine(load_settings())
    if as_json:
        print(json.dumps([check.as_dict() for check in checks], indent=2))
    for check in () if as_json else checks:
        console.print(
            f"{'[green]ok[/]     ' if check.ok else '[red]missing[/]'} {check.name}: ", end=""
        )
        console.print(check.detail, markup=False, soft_wrap=True)
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


@app.command()
def index(
    ptbxl: Annotated[Path | None, typer.Option(help="Folder with PTB-XL's tables.")] = None,
    cases: Annotated[
        Path | None, typer.Option(help="CSV of cases with their ECGs; see docs/cases.md.")
    ] = None,
    reports: Annotated[
        Path | None, typer.Option(help="CSV of reports alone; see docs/reports.md.")
    ] = None,
    merge: Annotated[bool, typer.Option(help="Add to the index instead of rebuilding it.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Build the index of reports and cases, and switch to it when it is complete.

    Where ECGs are there, each record becomes a case that is found by its ECG too. The same command
    goes on after a stop. Exit status: 0 all is in the index; 1 some cases are not, or only without
    their ECG.
    """
    from cardex.cli.index import Source, run_index
    from cardex.cli.indexing_place import IndexingPlace

    with error_messages():
        if sum(given is not None for given in (ptbxl, cases, reports)) != 1:
            raise typer.BadParameter("give one of --ptbxl DIR, --cases CSV and --reports CSV")
        source = Source(ptbxl, cases, reports)
        place = IndexingPlace(load_settings().data_dir / "indexing", source.path, merge=merge)
        status = run_index(
            gateway_client(), source, place, merge=merge, as_json=as_json, console=console
        )
    raise typer.Exit(status)


@app.command()
def submit(
    paths: Annotated[list[Path], typer.Argument(help="ECG files, or folders of them.")],
    stat: Annotated[bool, typer.Option(help="Ask one by one, as the bedside does.")] = False,
    top_k: Annotated[int, typer.Option(help="How many reports for each.")] = 5,
    rerank: Annotated[
        int, typer.Option(help="How many of the nearest the matcher puts in order: 0, or 2 to 128.")
    ] = 0,
    by: NearnessOption = None,
    results: Annotated[
        Path | None,
        typer.Option(help="File for the results, .jsonl or .parquet; - prints them."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="File by which a second call goes on; with --results it lies beside it."),
    ] = None,
    patience: Annotated[
        float, typer.Option(help="Minutes to try on without a word from the gateway.", min=0.0)
    ] = 15.0,
    as_json: JsonFlag = False,
) -> None:
    """Submit ECGs and print or write the nearest reports for each.

    Exit status: 0 all answered; 1 some refused or failed, or an error; 2 wrong arguments; 75 no
    word from the gateway for too long; 130 and 143 stopped by Ctrl-C and SIGTERM. With a manifest
    the same command goes on after a stop.
    """
    from cardex.cli.submit import Archive, run_stat, run_submit
    from cardex.domain.jobs import Question

    file = None if results == Path("-") else results
    if stat and (file or manifest):
        raise typer.BadParameter("--stat goes without --results and --manifest")
    question = Question(top_k, rerank, by)
    with error_messages():
        if stat:
            status = run_stat(gateway_client(), paths, question, as_json=as_json, console=console)
        else:
            archive = Archive(tuple(paths), question, file, manifest, patience * 60)
            status = run_submit(gateway_client(), archive, as_json=as_json, console=console)
    raise typer.Exit(status)


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    top_k: Annotated[int, typer.Option(help="How many reports.")] = 5,
    by: NearnessOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Find reports by text."""
    from cardex.cli.search import run_search

    with error_messages():
        run_search(gateway_client(), text, top_k, by, as_json=as_json)


@app.command()
def encode(
    path: Annotated[Path, typer.Argument(help="An ECG file, for WFDB its .hea.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="PNG to write.")],
    spec: Annotated[
        str, typer.Option(help="Layout, JSON fields or file; the shipped model's if left out.")
    ] = "",
    zoom: Annotated[int, typer.Option(help="Side of a drawn pixel.", min=1, max=16)] = 1,
) -> None:
    """Draw the image that a model sees."""
    from cardex.cli.draw import image_spec, run_encode
    from cardex.inference.repository import newest

    with error_messages():
        wanted = image_spec(spec) if spec else newest(load_settings().model_repository).spec()
        run_encode(path, out, wanted, zoom)


@app.command()
def plot(
    path: Annotated[Path, typer.Argument(help="An ECG file, for WFDB its .hea.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="PNG or SVG to write.")],
    speed: Annotated[float, typer.Option(help="Paper speed: 25 or 50 mm/s.")] = 25.0,
    gain: Annotated[float, typer.Option(help="5, 10 or 20 mm/mV.")] = 10.0,
    layout: Annotated[str, typer.Option(help="3x4+1, 3x4+3, 6x2 or 12x1.")] = "3x4+1",
    start: Annotated[float, typer.Option(help="Where in the record to begin, seconds.")] = 0.0,
    header: Annotated[
        bool, typer.Option(help="Print device, time and the machine's statements.")
    ] = True,
    raw: Annotated[bool, typer.Option("--raw", help="Leave the baseline as recorded.")] = False,
    filtered: Annotated[
        bool, typer.Option("--filtered", help="Show 0.5-40 Hz, as the model sees it.")
    ] = False,
    dpi: Annotated[int, typer.Option(help="Resolution of a PNG, 50 to 600.")] = 150,
) -> None:
    """Draw a 12-lead ECG on its grid paper."""
    from cardex.cli.draw import Treatment, run_plot
    from cardex.plotting.paper_style import PaperStyle

    with error_messages():
        if raw and filtered:
            raise typer.BadParameter("give --raw or --filtered, not both")
        style = PaperStyle(speed, gain, layout, start, header)
        treatment: Treatment = "raw" if raw else "filtered" if filtered else "level"
        run_plot(path, out, style, treatment=treatment, dpi=dpi)


@app.command()
def train(
    ptbxl: Annotated[
        Path, typer.Option("--ptbxl", "--data", help="PTB-XL's folder, or a manifest's CSV file.")
    ],
    recipe: Annotated[Path, typer.Option(help="What to train: docs/training.md.")] = Path(
        "experiments/shipped.toml"
    ),
    work: Annotated[
        Path, typer.Option(help="Finished stages, checkpoints and logs; a second call goes on.")
    ] = Path("runs/shipped"),
    repository: Annotated[Path, typer.Option(help="Model repository to write.")] = Path(
        "model_repository"
    ),
    bf16: Annotated[
        bool | None,
        typer.Option(
            help="Matrix products in bfloat16; by default where the CPU has units for it."
        ),
    ] = None,
    compiled: Compiled = False,
    tensorboard: Annotated[bool, typer.Option(help="Also write TensorBoard's files.")] = False,
    jobs: Annotated[
        int, typer.Option(min=1, help="Encoders that are trained side by side, on a CPU.")
    ] = 1,
) -> None:
    """Train the models on folds 1-8, measure them on fold 9 and export them. Needs torch."""
    from cardex.training.commands import Options, run_train

    with error_messages():
        run_train(ptbxl, work, repository, recipe, Options(bf16, compiled, tensorboard, jobs))


@app.command()
def evaluate(
    fold: Annotated[int, typer.Option(help="Fold to measure on; 9 and 10 are held out.")] = 9,
    ptbxl: Annotated[Path | None, typer.Option(help="PTB-XL in its official layout.")] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="CSV of any archive; see docs/training.md.")
    ] = None,
    gallery: Annotated[int, typer.Option(min=1, help="Reports to find among.")] = 1269,
    repository: Annotated[Path, typer.Option(help="Model repository.")] = Path("model_repository"),
    work: Annotated[
        Path | None, typer.Option(help="Folder that keeps cleaned ECGs for the next time.")
    ] = None,
    rerank: Annotated[
        int, typer.Option(help="Also re-rank so many of the nearest: 0, or 2 to 128.")
    ] = 0,
    match_weight: Annotated[
        list[float] | None,
        typer.Option(help="Of the matcher's log-odds, not the repository's; repeat it to compare."),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="Measure this only, and repeat it for more: paper, strict, distinct, clinical,"
            " cases, zero-shot, languages, probabilities, out-of-distribution, drafts."
        ),
    ] = None,
    ecgs: Annotated[
        list[str] | None,
        typer.Option(help="Of these ECGs only: all, representative or other; repeat it."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="A model repository to compare with, ECG by ECG.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure the models on held-out ECGs: retrieval, zero-shot detection, calibration, drafts."""
    from cardex.evaluation.commands import Measurement, run_evaluate, source

    if (ptbxl is None) == (manifest is None):
        raise typer.BadParameter("give one of --ptbxl DIR and --manifest CSV")
    with error_messages():
        data = source(ptbxl, manifest)
        weights, protocols = tuple(match_weight or ()), tuple(protocol or ())
        what = Measurement(
            data, fold, gallery, work, rerank, weights, protocols, tuple(ecgs or ()), against
        )
        run_evaluate(what, repository, as_json=as_json, console=console)


@app.command()
def table(
    recipes: Annotated[list[Path], typer.Argument(help="Recipes, a row each.")],
    ptbxl: Annotated[Path, typer.Option("--ptbxl", "--data", help="As for `train`.")],
    results: Annotated[Path, typer.Option(help="JSON file that keeps what was measured.")],
    work: Annotated[Path, typer.Option(help="As for `train`.")] = Path("runs/tables"),
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each recipe.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 1,
    compiled: Compiled = False,
    ecgs: Annotated[
        str, typer.Option(help="Whose figures are shown: all, representative or other.")
    ] = "all",
) -> None:
    """Train recipes alike, measure each on fold 9, and print their table. Needs torch."""
    from cardex.training.commands import run_table

    with error_messages():
        run_table(
            recipes, ptbxl, work, results, seeds=seeds, jobs=jobs, compiled=compiled, ecgs=ecgs
        )


@app.command()
def gateway() -> None:
    """Serve gRPC."""
    from cardex.gateway.server import run_gateway

    _serve(run_gateway)


@app.command()
def worker(
    queue: Annotated[Priority, typer.Option(help="Which queue to serve.")],
    name: Annotated[str, typer.Option(help="Name of this worker among others.")] = "",
) -> None:
    """Serve one queue."""
    from cardex.worker.main import run_worker

    _serve(lambda settings: run_worker(settings, queue, name or f"cardex-{queue.value}"))


@app.command()
def web() -> None:
    """Serve REST."""
    from cardex.web.main import run_web

    _serve(run_web)


def _serve(run: Callable[[Settings], None]) -> None:
    from cardex.telemetry.logs import start_logging

    with error_messages():
        settings = load_settings()
        start_logging(settings)
        run(settings)


@keys.command("add")
def add_key(
    name: Annotated[str, typer.Option(help="Who will use it.")],
    scope: Annotated[list[str], typer.Option(help="submit, search, index or admin; repeat it.")],
    file: Annotated[Path, typer.Option(help="Key file; made if missing.")],
    archive: Annotated[
        str, typer.Option(help="Let it file and see the cases of this archive alone.")
    ] = "",
) -> None:
    """Make an API key: the file gets its hash, and the key is printed this once."""
    from cardex.gateway.keys import add_to_file

    with error_messages():
        print(add_to_file(file, name, scope, archive))


def main() -> NoReturn:
    """Run the command line."""
    try:
        app(prog_name="cardex")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("cardex"):
            raise
        extra = "train" if error.name in TRAINING_PACKAGES else "server"
        console.print(f"[red]error[/] (NOT_INSTALLED): this needs {error.name}: ", end="")
        console.print(f"pip install 'cardex[{extra}]'", markup=False)
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
