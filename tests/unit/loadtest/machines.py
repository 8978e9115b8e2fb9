"""A machine without a GPU: its "plans" are ONNX graphs, which ONNX Runtime runs with an engine's rounding."""

import hashlib
from contextlib import nullcontext

from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import GRAPHS
from cardex.models.agreement import rounded
from cardex.models.engine import Built, Report
from cardex.models.plans import TYPICAL, max_batch_size
from cardex.models.precision import Precision, convert
from cardex.models.profiles import profiles_of
from loadtest.gpu_machine import Hardware
from loadtest.gpu_runners import CpuRunner

HARDWARE = Hardware("Stand-in", "sm_00", "1.2.3", "tensorrt 99", "Some CPU")


class StandIn:
    """Converts for real, builds nothing."""

    def __init__(self, spoil=lambda model, runner: runner, largest=None):
        """Let `spoil` wrap the fp16 runners, and take batches of at most `largest`."""
        self.spoil = spoil
        self.largest = largest
        self.examples = None
        self._models = {}

    def hardware(self):
        return HARDWARE

    def build(self, release, precision, examples, tell):
        self.examples = examples
        plans = {}
        for model in [model for model in GRAPHS if release.graph(model).is_file()]:
            calls = examples.calls(model) if precision is Precision.INT8 else ()
            content = convert(release.graph(model), precision, calls)
            self._models[content] = (model, precision)
            plans[model] = Built(content, self._report(release, model, content))
            tell(model, plans[model])
        return plans

    def _report(self, release, model, content):
        largest = max_batch_size(release.repository / model / "configs" / "tensorrt.pbtxt")
        largest = min(largest, self.largest or largest)
        typical = min(TYPICAL[model], largest)
        digest = hashlib.sha256(content).hexdigest()
        return Report(
            builder="stand-in", gpu="sm_00", inputs=[], outputs=[], layers={"fp16": 9, "fp32": 1},
            tf32=True, profiles=profiles_of(content, largest, typical), graph_sha256=digest,
            plan_sha256=digest, plan_bytes=len(content), seconds=1.5, timing_cache=None,
        )  # fmt: skip

    def engine(self, plan):
        model, precision = self._models[plan]
        runner = CpuRunner(rounded(plan))
        return nullcontext(self.spoil(model, runner) if precision is Precision.FP16 else runner)


class Wrong:
    """A runner whose answers are changed."""

    def __init__(self, runner, change):
        self._runner = runner
        self._change = change

    def answer(self, inputs):
        return self._change(self._runner.answer(inputs))


class Remembering:
    """A runner that computes each answer once."""

    def __init__(self, runner):
        self._runner = runner
        self._known = {}

    def answer(self, inputs):
        key = tuple((name, tensor.shape, tensor.tobytes()) for name, tensor in inputs.items())
        if key not in self._known:
            self._known[key] = self._runner.answer(inputs)
        return self._known[key].copy()


def raising(model, runner):
    raise ConfigurationError("the engine does not run: out of memory")
