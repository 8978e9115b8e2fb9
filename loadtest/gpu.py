"""`make gpu-check`: builds the engines on a machine with a GPU, and measures their parity and speed.

Parity is against ONNX Runtime in fp32 on the CPU. fp32 engines may round the factors of products to TF32's 10
bits, as TensorRT does unless told otherwise; the table of builds says whether they do.
"""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from cardex.domain.errors import CardexError
from cardex.domain.settings import Settings, load_settings
from cardex.evaluation.dataset import open_dataset
from cardex.inference.repository import IMAGE_ENCODER, ModelVersion, newest
from cardex.inference.served_model import IMAGE_INPUT, OUTPUT
from cardex.inference.triton_client import InferenceRequest, TritonClient
from cardex.local_stack.dataset import fetch
from cardex.local_stack.ports import HOST
from cardex.models.comparison import Sample, examples_of
from cardex.models.engine import Built
from cardex.models.precision import Precision
from cardex.models.profiles import Profile
from loadtest import gpu_parity, gpu_triton
from loadtest.gpu_findings import NAME, Findings, keep
from loadtest.gpu_machine import DistributedContext, Nvidia
from loadtest.gpu_parity import AIMS, Reference
from loadtest.gpu_runners import CpuRunner, Runner
from loadtest.gpu_sample import demo_sample, fold_sample
from loadtest.gpu_speed import CPU, Pace, measure
from loadtest.memories import memories
from loadtest.tritons import MICRO_BATCH, Server

Engines = Mapping[Precision, Mapping[str, Built]]
NO_TRITON = (
    "Triton: there is no tritonserver on PATH; run in NVIDIA's container,"
    " nvcr.io/nvidia/tritonserver:YY.MM-py3"
)
console = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Wish:
    """What to measure.

    Attributes:
        ptbxl: PTB-XL's folder; None for the demo's data.
        fold: of PTB-XL, whose ECGs are asked.
        int8: whether int8 engines are made too.
        speed: how long each runner is timed.
        load: how long Triton is put under each load.
    """

    ptbxl: Path | None
    fold: int
    int8: bool
    speed: Pace = field(default=Pace())
    load: Pace = field(default=Pace(seconds=4.0))

    @property
    def precisions(self) -> list[Precision]:
        """Of the engines."""
        more = [Precision.INT8] if self.int8 else []
        return [Precision.FP32, Precision.FP16, *more]


def parse(argv: Sequence[str] | None = None) -> Wish:
    """Read the command line; what it does not say, PTB and FOLD do."""
    folder = os.environ.get("PTB")
    parser = argparse.ArgumentParser(prog=f"make {NAME}", description=__doc__)
    parser.add_argument(
        "--ptbxl", type=Path, default=Path(folder) if folder else None,
        help="PTB-XL's folder, by default PTB; without, windows of the demo's ECGs",
    )  # fmt: skip
    parser.add_argument(
        "--fold", type=int, default=os.environ.get("FOLD", "9"), help="of PTB-XL; by default FOLD or 9"
    )  # fmt: skip
    parser.add_argument(
        "--int8", action="store_true", help="int8 engines too, calibrated on PTB-XL"
    )
    given = parser.parse_args(argv)
    if given.ptbxl is not None and not given.ptbxl.is_dir():
        parser.error(f"--ptbxl {given.ptbxl} is no folder")
    if given.int8 and given.ptbxl is None:
        parser.error("--int8 is calibrated on real ECGs and reports: give --ptbxl DIR")
    return Wish(given.ptbxl, given.fold, given.int8)


def check(wish: Wish, settings: Settings, machine: DistributedContext, folder: Path) -> Findings:
    """Run every step, and keep what was found, whatever happens to the later ones.

    Args:
        wish: what to measure.
        settings: where models and data are.
        machine: that builds and runs the engines.
        folder: for what is needed meanwhile.

    Raises:
        CardexError: if there is no GPU, or the engines cannot be built; then nothing is written.
    """
    hardware = machine.hardware()
    release = newest(settings.model_repository)
    sample = _sample(wish, settings, release)
    asked = f"{len(sample.images)} ECGs, {len(sample.tokens)} reports of "
    asked += f"{wish.ptbxl}, fold {wish.fold}" if wish.ptbxl else "the demo's data"
    found = Findings(hardware, release.version(), asked)
    engines = _build(wish, machine, release, found)
    try:
        reference = gpu_parity.refer(release, sample, _profiles(engines))
        with _noted(found, "parity"):
            _compare(machine, engines, reference, found)
        with _noted(found, "speed"):
            _race(wish, machine, release, engines, sample, found)
        with _noted(found, "Triton"):
            _serve(wish, release, engines, sample, reference, folder, found)
    finally:
        keep(found)
    return found


def main(argv: Sequence[str] | None = None, machine: DistributedContext | None = None) -> int:
    """Check the GPU at hand; returns the exit status."""
    wish = parse(argv)
    try:
        with TemporaryDirectory(prefix="cardex-gpu-") as name:
            folder = Path(name)
            return check(wish, load_settings(), machine or Nvidia(folder), folder).status
    except CardexError as error:
        console.print(f"error ({error.reason}): {error.message}", markup=False, soft_wrap=True)
        return 1


@contextmanager
def _noted(found: Findings, step: str) -> Iterator[None]:
    """Keep an error of the tree; the other steps go on."""
    try:
        yield
    except CardexError as error:
        found.failed.append(f"{step}: {error.message}")


def _sample(wish: Wish, settings: Settings, release: ModelVersion) -> Sample:
    console.print("reading ECGs and reports")
    if wish.ptbxl is not None:
        return fold_sample(release, wish.ptbxl, wish.fold)
    return demo_sample(release, fetch(settings.data_dir / "data", console.print))


def _build(
    wish: Wish, machine: DistributedContext, release: ModelVersion, found: Findings
) -> Engines:
    examples = None
    if wish.int8 and wish.ptbxl is not None:
        examples = examples_of(release, open_dataset(wish.ptbxl))
    engines = {}
    for precision in wish.precisions:

        def tell(model: str, built: Built, precision: Precision = precision) -> None:
            found.add_build(model, precision, built)
            console.print(f"built {model} in {precision}: {built.report.seconds:g} s")

        engines[precision] = machine.build(release, precision, examples, tell)
    return engines


def _profiles(engines: Engines) -> dict[str, dict[str, Profile]]:
    return {model: built.report.profiles for model, built in engines[Precision.FP32].items()}


def _compare(
    machine: DistributedContext, engines: Engines, reference: Reference, found: Findings
) -> None:
    """Compare each precision's engines with the reference."""
    for precision, plans in engines.items():
        console.print(f"comparing {precision} engines with ONNX Runtime")
        with ExitStack() as opened:
            runners = {
                model: opened.enter_context(machine.engine(built.plan))
                for model, built in plans.items()
            }
            figures = gpu_parity.compare(runners, reference)
        found.add_figures(f"{precision} engine", figures, AIMS.get(precision))


def _race(
    wish: Wish, machine: DistributedContext, release: ModelVersion, engines: Engines, sample: Sample,
    found: Findings,
) -> None:  # fmt: skip
    """Time each model's engines and the CPU in turn."""
    for model, profiles in _profiles(engines).items():
        console.print(f"timing {model}")
        with ExitStack() as opened:
            runners: dict[str, Runner] = {CPU: CpuRunner(release.graph(model).read_bytes())}
            for precision, plans in engines.items():
                engine = machine.engine(plans[model].plan)
                runners[f"{precision} engine"] = opened.enter_context(engine)
            found.add_speeds(measure(model, runners, sample, profiles, wish.speed))


def _serve(
    wish: Wish, release: ModelVersion, engines: Engines, sample: Sample, reference: Reference,
    folder: Path, found: Findings,
) -> None:  # fmt: skip
    """Measure the fp16 engines in Triton, where there is one."""
    program = gpu_triton.find_program()
    if program is None:
        found.left_out.append(NO_TRITON)
        return
    console.print(f"starting {program}")
    served = gpu_triton.install(release, engines[Precision.FP16], folder)
    with gpu_triton.serving(program, served, folder) as (_, port, metrics):
        url = f"{HOST}:{port}"
        figures = gpu_triton.check(TritonClient(url), served, reference)
        found.add_figures("fp16 in Triton", figures, AIMS[Precision.FP16])
        server = Server(port, metrics, served.spec().shape)
        found.add_figures("Triton", gpu_triton.loads(server, wish.load))
        found.targets |= {f"Triton: {name}": words for name, words in gpu_triton.TARGETS.items()}
        call = InferenceRequest(
            IMAGE_ENCODER, served.triton_version, {IMAGE_INPUT: sample.images[:MICRO_BATCH]}, OUTPUT
        )
        pace = wish.load
        kinds = memories(url, call, pace.rounds, pace.seconds, found.left_out.append)
        found.add_figures("Triton", kinds)


if __name__ == "__main__":
    raise SystemExit(main())
