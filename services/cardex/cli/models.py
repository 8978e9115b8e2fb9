"""The commands about models: their versions in service, and the engines that GPUs run."""

from pathlib import Path
from typing import Annotated

import typer

from cardex.cli.console import JsonFlag, console, error_messages, stack_settings
from cardex.models.precision import Precision

models = typer.Typer(help="Versions of the models, and engines for GPUs.", no_args_is_help=True)


@models.command("list")
def list_versions(as_json: JsonFlag = False) -> None:
    """Show the versions in the model repository, which are served, and which one answers."""
    from cardex.cli.model_commands import run_list

    with error_messages():
        run_list(stack_settings(), as_json=as_json)


@models.command()
def deploy(
    source: Annotated[Path, typer.Argument(help="Model repository that `cardex train` wrote.")],
    shadow: Annotated[
        bool, typer.Option(help="Load it and make its index, but let the old version answer.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Serve a new version beside the one in service, and let it answer when its index is made."""
    from cardex.cli.model_commands import run_deploy

    with error_messages():
        run_deploy(stack_settings(), source, shadow=shadow, as_json=as_json, console=console)


@models.command()
def rollback(
    version: Annotated[
        str, typer.Option(help="To go back to; left out, the one before the one that answers.")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Let the version before answer again, and take the new one out of service."""
    from cardex.cli.model_commands import run_rollback

    with error_messages():
        run_rollback(stack_settings(), version, as_json=as_json, console=console)


@models.command()
def retire(
    number: Annotated[int, typer.Argument(help="Version number: see `cardex models list`.")],
) -> None:
    """Take a version that no longer answers out of service; its folders stay."""
    from cardex.cli.model_commands import run_retire

    with error_messages():
        run_retire(stack_settings(), number)
        console.print(f"version {number} is no longer served")


@models.command()
def build(
    gpu: Annotated[
        str, typer.Option(help='Compute capability, as in "sm_90"; left out, the GPU at hand.')
    ] = "",
    target: Annotated[str, typer.Option(help="tensorrt.")] = "tensorrt",
    precision: Annotated[Precision, typer.Option(help="Of the engines.")] = Precision.FP16,
    builder: Annotated[
        str, typer.Option(help="tensorrt, or tensorrt_rtx to compile without a GPU.")
    ] = "",
    repository: Annotated[Path | None, typer.Option(help="Left out, the live one.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write; left out, beside the graphs.")
    ] = None,
    ptbxl: Annotated[Path | None, typer.Option(help="int8: PTB-XL to calibrate on.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="int8: or your archive's CSV.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make the engines that Triton's tensorrt target runs on one kind of GPU."""
    from cardex.cli.model_commands import EngineWish, run_build

    with error_messages():
        if target != "tensorrt":
            raise typer.BadParameter(
                "cpu and onnxruntime run the graphs as they are", param_hint="--target"
            )
        wish = EngineWish(gpu or None, precision, builder or None, out, ptbxl or manifest)
        run_build(repository or stack_settings().model_repository, wish, as_json=as_json)


@models.command()
def compare(
    precision: Annotated[Precision, typer.Option(help="To compare with fp32.")] = Precision.FP16,
    ptbxl: Annotated[Path | None, typer.Option(help="PTB-XL in its official layout.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Or your archive's CSV.")] = None,
    fold: Annotated[int, typer.Option(help="Whose ECGs are asked.")] = 9,
    repository: Annotated[Path | None, typer.Option(help="Left out, the live one.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure what reduced precision costs, with its rounding computed on the CPU."""
    from cardex.cli.model_commands import run_compare
    from cardex.evaluation.commands import source

    with error_messages():
        where = repository or stack_settings().model_repository
        run_compare(where, precision, source(ptbxl, manifest), fold, as_json=as_json)
