"""What the model repository says, against what the code sends, and against its own graphs."""

import json
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from cardex.domain.jobs import Priority
from cardex.domain.settings import Settings
from cardex.inference.probe import check_probe, probe_image, probe_tokens
from cardex.inference.repository import (
    GRAPHS,
    IMAGE_ENCODER,
    MATCHER,
    MODELS,
    STAT_INSTANCE,
    TEXT_ENCODER,
    ModelVersion,
    model_versions,
    newest,
    parameter_key,
)
from cardex.inference.served_model import IMAGE_INPUT, TEXT_INPUT, ServedModel, read_served
from cardex.inference.statements import load_calibration
from cardex.local_stack import doctor
from cardex.reports.snomed import snomed_code
from tests.conftest import ROOT

REPOSITORY = ROOT / "model_repository"
RELEASE = newest(REPOSITORY)
TARGETS = {"cpu": "python", "onnxruntime": "onnxruntime", "tensorrt": "tensorrt"}
"""Each target and the backend that it runs on."""

of_each_model = pytest.mark.parametrize("model", MODELS)
of_each_target = pytest.mark.parametrize("target", TARGETS)
of_each = pytest.mark.parametrize(("model", "target"), [*product(MODELS, TARGETS)])


def path_of(model: str, target: str) -> Path:
    return REPOSITORY / model / "configs" / f"{target}.pbtxt"


@cache
def config_of(model: str, target: str) -> ModelConfig:
    """Return a configuration as Triton's own schema reads it."""
    return text_format.Parse(path_of(model, target).read_text(), ModelConfig())


def tensors(of) -> dict[str, tuple[str, list[int]]]:
    return {one.name: (DataType.Name(one.data_type), list(one.dims)) for one in of}


def parameters(model: str, target: str) -> dict[str, str]:
    """Return the parameters of all versions; those of the target itself have no number."""
    found = config_of(model, target).parameters.items()
    return {key: value.string_value for key, value in found if key[0].isdigit()}


def served(target: str, triton_version: int = RELEASE.triton_version) -> ServedModel:
    configs = {model: config_of(model, target) for model in MODELS}
    return read_served(ModelVersion(REPOSITORY, triton_version), configs)


# What holds for every configuration.


@of_each_model
def test_every_target_of_a_model_has_the_same_tensors_and_versions(model):
    assert {path.stem for path in (REPOSITORY / model / "configs").iterdir()} == TARGETS.keys()
    # A Triton that was told no target takes this file.
    default = (REPOSITORY / model / "config.pbtxt").resolve()
    assert default == path_of(model, "onnxruntime").resolve()
    first = config_of(model, "cpu")
    for target, backend in TARGETS.items():
        config = config_of(model, target)
        assert (config.name, config.backend) == (model, backend)
        assert tensors(config.input) == tensors(first.input)
        assert tensors(config.output) == tensors(first.output)
        assert parameters(model, target) == parameters(model, "cpu")
        assert config.version_policy == first.version_policy
        assert config.HasField("response_cache") and not config.response_cache.enable


@of_each_model
def test_a_version_that_is_served_can_run_on_a_cpu(model):
    config = config_of(model, "cpu")
    versions = config.version_policy.specific.versions
    assert RELEASE.triton_version in versions
    for triton_version in versions:
        folder = REPOSITORY / model / str(triton_version)
        assert (folder / "model.onnx").is_file()
        # All models run the same program.
        assert (folder / "model.py").read_text() == RELEASE.folder(IMAGE_ENCODER).joinpath(
            "model.py"
        ).read_text()
        assert parameter_key(triton_version, "model_version") in config.parameters


@of_each
def test_a_model_warms_up_at_its_largest_batch(model, target):
    config = config_of(model, target)
    (warm,) = config.model_warmup
    assert 1 < warm.batch_size == config.max_batch_size
    sent = tensors(config.input)
    assert warm.inputs.keys() == sent.keys()
    for name, tensor in warm.inputs.items():
        kind, dims = sent[name]
        assert DataType.Name(tensor.data_type) == kind
        assert len(tensor.dims) == len(dims)
        assert all(d == e or (d > 0 and e == -1) for d, e in zip(tensor.dims, dims, strict=True))


# What the client sends.


@of_each_target
def test_every_version_that_is_served_fits_what_the_client_sends(target):
    for triton_version in config_of(IMAGE_ENCODER, target).version_policy.specific.versions:
        assert served(target, triton_version).info.triton_version == triton_version
    found = served(target)
    assert found.info.version == RELEASE.version()
    assert found.info.image_spec == RELEASE.spec()
    assert found.info.matcher == RELEASE.has_matcher


@pytest.mark.parametrize(
    ("model", "target"), [*product([IMAGE_ENCODER, TEXT_ENCODER, MATCHER], TARGETS)]
)
def test_a_queue_is_bounded_and_has_the_levels_that_the_client_sends(model, target):
    config = config_of(model, target)
    batching, policy = config.dynamic_batching, config.dynamic_batching.default_queue_policy
    assert batching.priority_levels == batching.default_priority_level == len(Priority)
    assert policy.max_queue_size >= config.max_batch_size
    assert policy.timeout_action == policy.REJECT
    assert policy.allow_timeout_override
    # A request without a deadline of its own has twice that of the workers' client.
    assert policy.default_timeout_microseconds == 2e6 * Settings().triton_timeout_s


@of_each_target
def test_the_stat_instance_is_the_encoder_without_a_queue_to_wait_in(target):
    stat, encoder = config_of(STAT_INSTANCE, target), config_of(IMAGE_ENCODER, target)
    assert tensors(stat.input) == tensors(encoder.input)
    assert tensors(stat.output) == tensors(encoder.output)
    assert parameters(STAT_INSTANCE, target) == parameters(IMAGE_ENCODER, target)
    assert stat.version_policy == encoder.version_policy
    assert not stat.HasField("dynamic_batching")
    assert stat.instance_group[0].count > 1
    assert stat.max_batch_size >= Settings().stat_batch
    for release in model_versions(REPOSITORY):
        folder = release.folder(STAT_INSTANCE)
        assert folder.is_symlink()
        assert folder.resolve() == release.folder(IMAGE_ENCODER).resolve()


# Where each target computes.


def test_on_a_cpu_routine_gives_way_to_stat():
    groups = [group for model in MODELS for group in config_of(model, "cpu").instance_group]
    assert all(group.kind == group.KIND_CPU for group in groups)
    # The doctor knows how many instances need shared memory.
    assert sum(group.count for group in groups) == doctor.INSTANCES
    assert int(config_of(IMAGE_ENCODER, "cpu").parameters["nice"].string_value) > 0
    assert "nice" not in config_of(STAT_INSTANCE, "cpu").parameters


@of_each_model
def test_onnxruntime_uses_a_gpu_in_fp32_where_there_is_one(model):
    config = config_of(model, "onnxruntime")
    (group,) = config.instance_group
    assert group.kind == group.KIND_AUTO
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert (accelerator.name, accelerator.parameters["precision_mode"]) == ("tensorrt", "FP32")


def test_on_a_gpu_stat_starts_first_and_indexing_and_matching_last():
    first = {}
    for model in MODELS:
        config = config_of(model, "tensorrt")
        (group,) = config.instance_group
        assert (group.kind, list(group.profile)) == (group.KIND_GPU, ["0"])
        # STAT waits for none of the places that the others share, and has the fastest stream.
        is_stat = model == STAT_INSTANCE
        shared = [resource.name for resource in group.rate_limiter.resources]
        assert shared == ([] if is_stat else ["execution"])
        priority = config.optimization.priority
        assert (priority == config.optimization.PRIORITY_MAX) == is_stat
        first[model] = group.rate_limiter.priority
    assert first[STAT_INSTANCE] < first[IMAGE_ENCODER] < min(first[TEXT_ENCODER], first[MATCHER])


@of_each_model
def test_cuda_graphs_are_of_the_inputs_from_one_row_to_the_largest_batch(model):
    config = config_of(model, "tensorrt")
    graphs = config.optimization.cuda.graph_spec
    assert config.optimization.cuda.graphs == (model != MATCHER)  # it has no fixed shape
    if model == MATCHER:
        return
    sizes = [graph.batch_size for graph in graphs]
    assert sizes == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (1, config.max_batch_size)
    for graph in graphs:
        dims = {name: list(tensor.dim) for name, tensor in graph.input.items()}
        assert dims == {name: shape for name, (_, shape) in tensors(config.input).items()}


# The graphs, and the statements.


@cache
def session(model: str) -> onnxruntime.InferenceSession:
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(str(RELEASE.graph(model)), providers=providers)


@pytest.mark.parametrize("model", GRAPHS)
def test_a_graph_has_the_tensors_of_its_configuration(model):
    config = config_of(model, "cpu")
    assert [one.name for one in session(model).get_inputs()] == [one.name for one in config.input]
    assert [one.name for one in session(model).get_outputs()] == [one.name for one in config.output]


@of_each_target
def test_a_graph_answers_its_known_input_as_its_configuration_says(target):
    found = served(target)
    known = {
        IMAGE_ENCODER: (IMAGE_INPUT, probe_image(found.info.image_spec.shape)),
        TEXT_ENCODER: (TEXT_INPUT, probe_tokens(found.tokenizer.length)),
    }
    for model, (name, tensor) in known.items():
        (embedding,) = session(model).run(None, {name: tensor})
        assert embedding.shape == (1, found.info.dimension)
        check_probe(model, embedding, found.probes[model])


def test_the_matcher_judges_each_report_by_itself():
    found = served("cpu")
    image = probe_image(found.info.image_spec.shape)
    one = probe_tokens(found.tokenizer.length)
    other = np.where(one > 0, one + 1, 0).astype(np.int32)
    together = np.stack([one, other], axis=1)  # (1, 2, L)
    (both,) = session(MATCHER).run(None, {IMAGE_INPUT: image, TEXT_INPUT: together})
    assert both.shape == (1, 2)
    for place, tokens in enumerate((one, other)):
        given = {IMAGE_INPUT: image, TEXT_INPUT: tokens[None]}
        (alone,) = session(MATCHER).run(None, given)
        np.testing.assert_allclose(alone[0, 0], both[0, place], atol=1e-3)


def test_cards_and_statements_are_of_the_version():
    assert RELEASE.version() in RELEASE.page.read_text()
    assert json.loads(RELEASE.card.read_bytes())["use"] == "RESEARCH USE ONLY"
    calibration = load_calibration(RELEASE.statements)
    assert calibration
    assert calibration.model_version == RELEASE.version()
    for statement in calibration.statements:
        assert statement.snomed_code == snomed_code(statement.code)
