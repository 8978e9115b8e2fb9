"""The command that measures sites by models that have not seen them."""

from pathlib import Path
from typing import Annotated

import typer

from cardex.cli.console import error_messages


def held_out_sites(
    ptbxl: Annotated[Path, typer.Option(help="PTB-XL in its official layout.")],
    recipe: Annotated[Path, typer.Option(help="What to train: docs/training.md.")] = Path(
        "experiments/held-out.toml"
    ),
    work: Annotated[
        Path, typer.Option(help="Finished stages and checkpoints; a second call goes on.")
    ] = Path("runs/held-out"),
    results: Annotated[Path, typer.Option(help="JSON file to write.")] = Path(
        "experiments/results/held-out-sites.json"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Sites at a time.")] = 1,
) -> None:
    """Measure the probabilities at each site by a model trained without it. Needs torch."""
    from cardex.training.held_out import run_held_out_sites

    with error_messages():
        run_held_out_sites(ptbxl, work, recipe, results, jobs)
