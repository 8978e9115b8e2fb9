"""The commands that fetch data sets."""

from pathlib import Path
from typing import Annotated

import typer

from cardex.cli.console import console, error_messages
from cardex.domain.settings import load_settings

SHOWN = 10
data = typer.Typer(help="Data sets.", no_args_is_help=True)


@data.callback()
def _data() -> None:
    """Data sets."""


@data.command()
def ptbxl(
    folder: Annotated[
        Path | None, typer.Argument(help="Where it goes; left out, ptb-xl in the data folder.")
    ] = None,
    records500: Annotated[
        bool, typer.Option("--records500", help="The ECGs at 500 Hz too, 2.6 GB more.")
    ] = False,
    jobs: Annotated[int, typer.Option(help="Files at once.", min=1, max=32)] = 8,
) -> None:
    """Download PTB-XL's tables and its 21,799 ECGs at 100 Hz, 0.6 GB, from PhysioNet.

    Each file is checked against the published checksum. The same command goes on after a stop, and
    fetches what is missing or damaged. Exit status: 0 all there; 1 files are missing, or an error;
    130 stopped by Ctrl-C.
    """
    from cardex.cli.render import progress_bar
    from cardex.local_stack.ptbxl import download_ptbxl

    with error_messages():
        settings = load_settings()
        target = folder or settings.data_dir / "ptb-xl"
        with progress_bar(console) as progress:
            task = progress.add_task("PTB-XL", total=None)
            try:
                missing = download_ptbxl(
                    settings.ptbxl_url,
                    target,
                    lambda done, total: progress.update(task, completed=done, total=total),
                    records500=records500,
                    jobs=jobs,
                )
            except KeyboardInterrupt:
                progress.stop()
                console.print("stopped: the same command goes on", soft_wrap=True)
                raise typer.Exit(130) from None
    for file in missing[:SHOWN]:
        console.print(f"{file.path}: {file.problem}", markup=False, soft_wrap=True)
    if missing:
        console.print(f"{len(missing)} files are missing: give the same command again later")
        raise typer.Exit(1)
    console.print(f"PTB-XL is in {target}: cardex index --ptbxl {target}", soft_wrap=True)
