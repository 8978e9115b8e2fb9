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
of_each_queue = pytest.mark.parametrize(
    ("model", "target"), [*product([IMAGE_ENCODER, TEXT_ENCODER, MATCHER], TARGETS)]
)
on_tensorrt = pytest.mark.parametrize(("model", "target"), [*product(MODELS, ["tensorrt"])])


def path_of(model: str, target: str) -> Path:
    return REPOSITORY / model / "configs" / f"{target}.pbtxt"


@cache
def config_of(model: str, target: str) -> ModelConfig:
    """Return a configuration as Triton's own schema reads it."""
    return text_format.Parse(path_of(model, target).read_text(), ModelConfig())


@pytest.fixture
def config(model, target) -> ModelConfig:
    return config_of(model, target)


def tensors(of) -> dict[str, tuple[str, list[int]]]:
    return {one.name: (DataType.Name(one.data_type), list(one.dims)) for one in of}


def parameters(model: str, target: str) -> dict[str, str]:
    """Return the parameters of all versions; those of the target itself have no number."""
    found = config_of(model, target).parameters.items()
    return {key: value.string_value for key, value in found if key[0].isdigit()}


def served(target: str, number: int = RELEASE.triton_version) -> ServedModel:
    (release,) = (one for one in model_versions(REPOSITORY) if one.triton_version == number)
    return read_served(release, {model: config_of(model, target) for model in MODELS})


# One model, several targets.


@of_each_model
def test_a_model_has_a_configuration_for_every_target(model):
    found = {path.stem for path in (REPOSITORY / model / "configs").iterdir()}
    assert found == TARGETS.keys()


@of_each
def test_a_configuration_is_of_its_folder_and_its_target(config, model, target):
    assert (config.name, config.backend) == (model, TARGETS[target])


@of_each_model
def test_nvidia_s_container_takes_the_configuration_of_onnxruntime(model):
    path = REPOSITORY / model / "config.pbtxt"
    assert path.is_symlink()
    assert path.resolve() == path_of(model, "onnxruntime").resolve()


@of_each
def test_every_target_of_a_model_has_the_same_tensors(config, model, target):
    first = config_of(model, "cpu")
    assert tensors(config.input) == tensors(first.input)
    assert tensors(config.output) == tensors(first.output)


@of_each
def test_every_target_of_a_model_serves_the_same_versions(config, model, target):
    assert parameters(model, target) == parameters(model, "cpu")
    first = config_of(model, "cpu").version_policy.specific.versions
    assert list(config.version_policy.specific.versions) == list(first)


@of_each_target
def test_the_lane_is_the_encoder_once_more(target):
    lane, encoder = config_of(STAT_INSTANCE, target), config_of(IMAGE_ENCODER, target)
    assert tensors(lane.input) == tensors(encoder.input)
    assert tensors(lane.output) == tensors(encoder.output)
    assert parameters(STAT_INSTANCE, target) == parameters(IMAGE_ENCODER, target)
    assert lane.version_policy == encoder.version_policy


# Versions.


@of_each
def test_a_version_that_is_served_has_a_folder_and_its_parameters(config, model, target):
    versions = config.version_policy.specific.versions
    assert versions
    for number in versions:
        assert (REPOSITORY / model / str(number) / "model.onnx").is_file()
        assert parameter_key(number, "model_version") in config.parameters


@of_each_target
def test_the_newest_version_is_served_by_every_model(target):
    for model in MODELS:
        assert RELEASE.triton_version in config_of(model, target).version_policy.specific.versions


@of_each_model
def test_every_version_can_run_on_a_cpu(model):
    folders = [path for path in (REPOSITORY / model).iterdir() if path.name.isdigit()]
    assert folders
    for folder in folders:
        assert (folder / "model.onnx").is_file()
        assert (folder / "model.py").is_file()


def test_every_model_runs_the_same_way():
    texts = {path.read_text() for path in REPOSITORY.glob("*/[0-9]*/model.py")}
    assert len(texts) == 1


def test_a_version_of_the_lane_is_the_folder_of_the_encoder():
    for release in model_versions(REPOSITORY):
        lane = release.folder(STAT_INSTANCE)
        assert lane.is_symlink()
        assert lane.resolve() == release.folder(IMAGE_ENCODER).resolve()


# What the client sends.


@of_each_target
def test_what_is_served_fits_what_the_client_sends(target):
    found = served(target)
    assert found.info.version == RELEASE.version()
    assert found.info.image_spec == RELEASE.spec()
    assert found.info.matcher == RELEASE.has_matcher
    assert found.has(STAT_INSTANCE)


@of_each_target
def test_every_version_that_is_served_fits(target):
    for number in config_of(IMAGE_ENCODER, target).version_policy.specific.versions:
        assert served(target, number).info.triton_version == number


@of_each_queue
def test_a_model_knows_the_priorities_that_the_client_sends(config, model, target):
    assert config.dynamic_batching.priority_levels == len(Priority)
    assert config.dynamic_batching.default_priority_level == len(Priority)


@of_each_target
def test_the_lane_joins_nothing_and_waits_for_nothing(target):
    assert not config_of(STAT_INSTANCE, target).HasField("dynamic_batching")
    assert config_of(STAT_INSTANCE, target).instance_group[0].count > 1


@of_each_target
def test_the_lane_takes_what_a_worker_takes_together(target):
    assert config_of(STAT_INSTANCE, target).max_batch_size >= Settings().stat_batch


@of_each_queue
def test_a_queue_is_bounded_and_refuses_what_is_over(config, model, target):
    policy = config.dynamic_batching.default_queue_policy
    assert policy.max_queue_size >= config.max_batch_size
    assert policy.timeout_action == policy.REJECT
    assert policy.allow_timeout_override


@of_each_queue
def test_who_names_no_deadline_has_twice_the_client_s(config, model, target):
    policy = config.dynamic_batching.default_queue_policy
    assert policy.default_timeout_microseconds == 2e6 * Settings().triton_timeout_s


@of_each
def test_triton_caches_no_answers(config, model, target):
    assert config.HasField("response_cache")
    assert not config.response_cache.enable


@of_each
def test_a_model_warms_up_at_its_largest_batch(config, model, target):
    (warm,) = config.model_warmup
    assert 1 < warm.batch_size == config.max_batch_size
    sent = tensors(config.input)
    assert warm.inputs.keys() == sent.keys()
    for name, tensor in warm.inputs.items():
        kind, dims = sent[name]
        assert DataType.Name(tensor.data_type) == kind
        assert len(tensor.dims) == len(dims)
        assert all(d == e or (d > 0 and e == -1) for d, e in zip(tensor.dims, dims, strict=True))


# On a CPU.


@of_each_model
def test_on_a_cpu_there_are_instances_on_the_cpu(model):
    (group,) = config_of(model, "cpu").instance_group
    assert group.kind == group.KIND_CPU
    assert group.count > 0


def test_the_doctor_counts_the_instances_that_need_shared_memory():
    groups = [group for model in MODELS for group in config_of(model, "cpu").instance_group]
    assert sum(group.count for group in groups) == doctor.INSTANCES


def test_on_a_cpu_routine_gives_way_to_the_lane():
    assert int(config_of(IMAGE_ENCODER, "cpu").parameters["nice"].string_value) > 0
    assert "nice" not in config_of(STAT_INSTANCE, "cpu").parameters


@of_each_model
def test_in_nvidia_s_container_a_gpu_is_used_where_there_is_one(model):
    config = config_of(model, "onnxruntime")
    (group,) = config.instance_group
    assert group.kind == group.KIND_AUTO
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert (accelerator.name, accelerator.parameters["precision_mode"]) == ("tensorrt", "FP32")


# On a GPU.


@on_tensorrt
def test_a_plan_runs_on_the_gpu_from_pinned_memory(config, model, target):
    (group,) = config.instance_group
    assert group.kind == group.KIND_GPU
    assert list(group.profile) == ["0"]
    assert config.optimization.input_pinned_memory.enable
    assert config.optimization.output_pinned_memory.enable


def test_batches_of_the_lane_start_first_and_those_of_indexing_and_matching_last():
    first = {}
    for model in MODELS:
        (group,) = config_of(model, "tensorrt").instance_group
        # The lane waits for none of the places that the others share.
        shared = [] if model == STAT_INSTANCE else ["execution"]
        assert [one.name for one in group.rate_limiter.resources] == shared
        first[model] = group.rate_limiter.priority
    assert first[STAT_INSTANCE] < first[IMAGE_ENCODER] < min(first[TEXT_ENCODER], first[MATCHER])


@on_tensorrt
def test_only_the_lane_has_the_stream_of_the_highest_priority(config, model, target):
    optimization = config.optimization
    highest = optimization.priority == optimization.PRIORITY_MAX
    assert highest == (model == STAT_INSTANCE)


@pytest.mark.parametrize("model", [IMAGE_ENCODER, STAT_INSTANCE, TEXT_ENCODER])
def test_cuda_graphs_are_of_the_inputs_from_one_row_to_the_largest_batch(model):
    config = config_of(model, "tensorrt")
    assert config.optimization.cuda.graphs
    graphs = config.optimization.cuda.graph_spec
    sizes = [graph.batch_size for graph in graphs]
    assert sizes == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (1, config.max_batch_size)
    for graph in graphs:
        dims = {name: list(tensor.dim) for name, tensor in graph.input.items()}
        assert dims == {name: shape for name, (_, shape) in tensors(config.input).items()}


def test_what_has_no_fixed_shape_has_no_cuda_graph():
    cuda = config_of(MATCHER, "tensorrt").optimization.cuda
    assert not cuda.graphs
    assert not cuda.graph_spec


# A reason beside every number.

PAIR = ("priority_levels:", "default_priority_level:")
NUMBERS = (
    "max_batch_size:", "count:", "max_queue_delay_microseconds:", "max_queue_size:",
    "default_timeout_microseconds:", *PAIR, "rate_limiter", '"nice"', '"threads"',
    '"intra_op_thread_count"', '"max_workspace_size_bytes"',
)  # fmt: skip
EVERYWHERE = ("max_batch_size:", "count:")


def reasons(path: Path) -> dict[str, str]:
    """Return each line that sets a number, with the line above it; the two of a pair share one."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    found = {}
    for place, line in enumerate(lines):
        if line.startswith("#") or not any(number in line for number in NUMBERS):
            continue
        above = place - 1
        while lines[above].startswith(PAIR) and line.startswith(PAIR):
            above -= 1
        found[line] = lines[above]
    return found


@of_each
def test_every_number_has_its_reason_beside_it(model, target):
    found = reasons(path_of(model, target))
    for number in EVERYWHERE:
        assert any(number in line for line in found)
    bare = [line for line, above in found.items() if not above.startswith("# ")]
    assert not bare


def test_a_number_without_its_reason_would_be_seen(tmp_path):
    path = tmp_path / "config.pbtxt"
    path.write_text("# Why.\nmax_batch_size: 8\nmax_queue_size: 8\n# Levels.\npriority_levels: 2\n"
                    "default_priority_level: 2\n")  # fmt: skip
    assert reasons(path) == {
        "max_batch_size: 8": "# Why.",
        "max_queue_size: 8": "max_batch_size: 8",
        "priority_levels: 2": "# Levels.",
        "default_priority_level: 2": "# Levels.",
    }


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


def test_the_card_for_people_is_of_the_version():
    assert RELEASE.version() in RELEASE.page.read_text()


def test_the_card_for_programs_says_what_the_models_are_for():
    assert json.loads(RELEASE.card.read_bytes())["use"] == "RESEARCH USE ONLY"


def test_the_statements_are_calibrated_for_the_encoders():
    assert load_calibration(RELEASE.statements).model_version == RELEASE.version()


def test_the_statements_have_the_concepts_of_their_codes():
    for statement in load_calibration(RELEASE.statements).statements:
        assert statement.snomed_code == snomed_code(statement.code)
