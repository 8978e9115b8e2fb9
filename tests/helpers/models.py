"""A second model version for tests of several: same answers, another space."""

import json
import shutil
from pathlib import Path

import onnx

from cardex.inference.repository import (
    IMAGE_ENCODER,
    MATCHER,
    STAT_INSTANCE,
    TEXT_ENCODER,
    ModelVersion,
)
from cardex.models.config import config_files, parameters, set_parameters

MIRRORED = "cardex-mirrored"


def mirrored(source: Path, folder: Path) -> Path:
    """Return a copy of a model repository whose encoders give the negative of every embedding.

    Similarities within the copy are as before; those between an embedding of the original and one
    of the copy have the other sign, so that a test sees an answer that mixes versions.
    """
    shutil.copytree(source, folder, symlinks=True)
    release = ModelVersion(folder, 1)
    for model in (IMAGE_ENCODER, TEXT_ENCODER):
        _negate(release.graph(model))
    for model in (IMAGE_ENCODER, STAT_INSTANCE, TEXT_ENCODER, MATCHER):
        for config in config_files(folder, model):
            values = parameters(config, 1) | {"model_version": MIRRORED}
            if "probe" in values:
                values["probe"] = json.dumps([-value for value in json.loads(values["probe"])])
            set_parameters(config, 1, values)
    for path in (release.card, release.statements, release.novelty):
        if path.is_file():
            fields = json.loads(path.read_bytes()) | {"model_version": MIRRORED}
            if "mean" in fields:  # the axes have no sign
                fields["mean"] = [-value for value in fields["mean"]]
            path.write_text(json.dumps(fields))
    return folder


def _negate(path: Path) -> None:
    graph = onnx.load(path)
    (output,) = graph.graph.output
    maker = next(node for node in graph.graph.node if output.name in node.output)
    maker.output[list(maker.output).index(output.name)] = "straight"
    graph.graph.node.append(onnx.helper.make_node("Neg", ["straight"], [output.name]))
    onnx.save(graph, path)
