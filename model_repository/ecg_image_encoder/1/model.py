"""Triton python backend: an ONNX model on the CPU, one ONNX Runtime session per instance.

All models use this file. The graph is `model.onnx` beside it; tensor names come from the model's
configuration, so the graph and the configuration have to agree.
"""

import json
import os

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Runs each batch that Triton's dynamic batcher hands over as one call of the session."""

    def initialize(self, args):
        """Open the session; refuse a runtime that would answer with empty tensors."""
        if int(np.__version__.split(".")[0]) >= 2:
            raise pb_utils.TritonModelException(
                f"numpy {np.__version__} breaks Triton's python backend: its environment needs numpy<2"
            )
        config = json.loads(args["model_config"])
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.output = config["output"][0]["name"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"]["threads"]["string_value"])
        options.inter_op_num_threads = 1
        # Spinning threads would take the cores that the other instance and the workers need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )

    def execute(self, requests):
        """Concatenate the requests, run once, split the output again."""
        batches = [self._tensors(request) for request in requests]
        joined = {
            name: batches[0][name]
            if len(batches) == 1
            else np.concatenate([batch[name] for batch in batches])
            for name in self.inputs
        }
        (found,) = self.session.run([self.output], joined)
        bounds = np.cumsum([len(batch[self.inputs[0]]) for batch in batches])[:-1]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(self.output, np.ascontiguousarray(part))])
            for part in np.split(found, bounds)
        ]

    def _tensors(self, request):
        """Return the inputs of one request by name."""
        return {
            name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            for name in self.inputs
        }
