"""Triton python backend: an ONNX model on the CPU.

All models use this file. The graph is `model.onnx` beside it; tensor names come from the model's
configuration, so the graph and the configuration have to agree.
"""

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Runs each batch that Triton's dynamic batcher hands over, in one piece for each thread."""

    def initialize(self, args):
        """Open the sessions; refuse a runtime that would answer with empty tensors."""
        if int(np.__version__.split(".")[0]) >= 2:
            raise pb_utils.TritonModelException(
                f"numpy {np.__version__} breaks Triton's python backend: its environment needs"
                f" numpy<2"
            )
        config = json.loads(args["model_config"])
        _give_way(int(_parameter(config, "nice", "0")))
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.output = config["output"][0]["name"]
        self.threads = _threads(config)
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        # One row has every thread; of a batch each thread has a part: threads that need not meet
        # after every operator lose less than threads that share one.
        self.whole = _session(path, self.threads)
        self.part = _session(path, 1) if self.threads > 1 else self.whole
        self.pool = ThreadPoolExecutor(self.threads)

    def execute(self, requests):
        """Join the requests, run them, take the answers apart again.

        A request's tensors are views of shared memory; joining is the one copy, and what it costs
        (12 KB an ECG) does not show beside some milliseconds of computing.
        """
        batches = [self._tensors(request) for request in requests]
        found = self._run([np.concatenate(rows) for rows in zip(*batches, strict=True)])
        bounds = np.cumsum([len(batch[0]) for batch in batches])[:-1]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(self.output, np.ascontiguousarray(rows))])
            for rows in np.split(found, bounds)
        ]

    def finalize(self):
        """End the threads."""
        self.pool.shutdown()

    def _tensors(self, request):
        """Return the inputs of one request in the order of the configuration."""
        return [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs]

    def _run(self, tensors):
        count = min(self.threads, len(tensors[0]))
        if count == 1:
            return self._once(self.whole, tensors)
        parts = zip(*(np.array_split(tensor, count) for tensor in tensors), strict=True)
        return np.concatenate(list(self.pool.map(lambda part: self._once(self.part, part), parts)))

    def _once(self, session, tensors):
        (found,) = session.run([self.output], dict(zip(self.inputs, tensors, strict=True)))
        return found


def _give_way(nice):
    """Lower this instance's priority against everything else on the machine.

    Where the kernel groups processes by session (autogroup), a process's own priority counts only
    among those of its session, so this instance gets a session of its own, and lowers that.
    """
    os.nice(nice)
    if nice:
        with suppress(OSError):  # it has one already, or the kernel has no autogroups
            os.setsid()
            Path("/proc/self/autogroup").write_text(str(nice))


def _session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would take the cores that the other instances and the workers need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _threads(config):
    """Return the threads of one instance: the parameter, or its share of the cores."""
    wanted = _parameter(config, "threads", "auto")
    if wanted != "auto":
        return int(wanted)
    instances = sum(group["count"] for group in config["instance_group"])
    return max(1, _cores() // instances)


def _cores():
    """Return the cores that this process may use: its affinity, and its control group's quota."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))


def _parameter(config, name, default):
    return config["parameters"].get(name, {}).get("string_value", default)
