"""What the model repository says, against what the code sends, and against its own graphs."""

import json

import numpy as np
import onnxruntime
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from services.domain.jobs import Priority
from services.inference import triton
from services.inference.model_card import served_spec
from services.inference.probe import check_probe, probe_image, probe_tokens
from services.inference.statements import load_calibration
from services.inference.tokenizer import ReportTokenizer
from services.retrieval.terminology import snomed_code
from services.signals.spec import ImageSpec

MODELS = {
    triton.IMAGE_ENCODER: (triton.IMAGE_INPUT, "TYPE_UINT8"),
    triton.TEXT_ENCODER: (triton.TEXT_INPUT, "TYPE_INT32"),
}


@pytest.fixture(scope="module")
def configs(root):
    """Every configuration of each model."""
    found = {}
    for model in MODELS:
        for path in sorted((root / "model_repository" / model).glob("**/*.pbtxt")):
            found.setdefault(model, []).append(text_format.Parse(path.read_text(), ModelConfig()))
    return found


def parameter(config: ModelConfig, name: str) -> str:
    return config.parameters[name].string_value


def shape_of(model: str, config: ModelConfig) -> list[int]:
    if model == triton.IMAGE_ENCODER:
        return list(ImageSpec.from_json(parameter(config, "image_spec")).shape)
    return [int(parameter(config, "length"))]


@pytest.mark.parametrize("model", MODELS)
def test_a_model_takes_what_the_client_sends(configs, model):
    name, kind = MODELS[model]
    for config in configs[model]:
        (tensor,) = config.input
        assert (tensor.name, DataType.Name(tensor.data_type)) == (name, kind)
        assert list(tensor.dims) == shape_of(model, config)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_gives_what_the_client_reads(configs, model):
    for config in configs[model]:
        (tensor,) = config.output
        assert (tensor.name, DataType.Name(tensor.data_type)) == (triton.OUTPUT, "TYPE_FP32")


@pytest.mark.parametrize("model", MODELS)
def test_a_model_takes_the_largest_batch_that_the_client_sends(configs, model):
    assert all(config.max_batch_size >= triton.MAX_BATCH for config in configs[model])


@pytest.mark.parametrize("model", MODELS)
def test_a_model_warms_up_at_its_largest_batch(configs, model):
    for config in configs[model]:
        (warm,) = config.model_warmup
        assert warm.batch_size == config.max_batch_size
        assert list(warm.inputs[MODELS[model][0]].dims) == shape_of(model, config)


def test_the_image_encoder_knows_the_priorities_that_the_client_sends(configs):
    for config in configs[triton.IMAGE_ENCODER]:
        assert config.dynamic_batching.priority_levels == len(Priority)


@pytest.mark.parametrize("model", MODELS)
def test_a_queue_is_bounded_and_refuses_what_is_over(configs, model):
    for config in configs[model]:
        assert config.dynamic_batching.default_queue_policy.max_queue_size > 0


def test_both_encoders_and_the_model_card_are_of_one_version(root, configs):
    card = json.loads((root / "model_repository" / "model_card.json").read_text())
    every = [config for model in MODELS for config in configs[model]]
    assert {parameter(config, "model_version") for config in every} == {card["model_version"]}


def test_the_model_card_names_the_image_that_the_encoder_takes(root, configs):
    for config in configs[triton.IMAGE_ENCODER]:
        taken = ImageSpec.from_json(parameter(config, "image_spec"))
        assert served_spec(root / "model_repository") == taken


def test_the_text_encoder_names_the_tokenizer_beside_it(root, configs):
    tokenizer = ReportTokenizer(root / "model_repository" / triton.TEXT_ENCODER / "tokenizer.json")
    for config in configs[triton.TEXT_ENCODER]:
        assert parameter(config, "tokenizer_sha256") == tokenizer.fingerprint
        assert tokenizer.encode(["sinus rhythm"]).shape[1] == int(parameter(config, "length"))


@pytest.mark.parametrize("model", MODELS)
def test_a_graph_answers_its_known_input_as_its_configuration_says(root, configs, model):
    graph = root / "model_repository" / model / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    for config in configs[model]:
        shape = shape_of(model, config)
        known = probe_image(tuple(shape)) if len(shape) == 3 else probe_tokens(*shape)
        (embedding,) = session.run(None, {MODELS[model][0]: known})
        assert embedding.shape == (1, *config.output[0].dims)
        check_probe(model, embedding, json.loads(parameter(config, "probe")))


# The matcher, and the statements.


@pytest.fixture(scope="module")
def matchers(root):
    """Every configuration of the matcher."""
    paths = sorted((root / "model_repository" / triton.MATCHER).glob("**/*.pbtxt"))
    return [text_format.Parse(path.read_text(), ModelConfig()) for path in paths]


def test_the_matcher_takes_the_image_and_any_number_of_reports(configs, matchers):
    (image,) = configs[triton.IMAGE_ENCODER][0].input
    (tokens,) = configs[triton.TEXT_ENCODER][0].input
    assert matchers
    for config in matchers:
        taken = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in config.input}
        assert taken == {
            triton.IMAGE_INPUT: (image.data_type, list(image.dims)),
            triton.TEXT_INPUT: (tokens.data_type, [-1, *tokens.dims]),
        }
        (output,) = config.output
        assert (output.name, list(output.dims)) == (triton.MATCH_OUTPUT, [-1])
        assert DataType.Name(output.data_type) == "TYPE_FP32"


def test_the_matcher_has_priorities_a_bounded_queue_and_a_warm_up(matchers):
    for config in matchers:
        assert config.dynamic_batching.priority_levels == len(Priority)
        assert config.dynamic_batching.default_queue_policy.max_queue_size > 0
        (warm,) = config.model_warmup
        assert warm.batch_size == config.max_batch_size
        assert {tensor.name for tensor in config.input} == warm.inputs.keys()


def test_every_model_runs_the_same_way(root):
    texts = {path.read_text() for path in (root / "model_repository").glob("*/1/model.py")}
    assert len(texts) == 1


def test_the_matcher_is_of_the_version_of_the_encoders(configs, matchers):
    encoders = {parameter(config, "model_version") for config in configs[triton.IMAGE_ENCODER]}
    assert {parameter(config, "model_version") for config in matchers} == encoders


def test_the_matcher_judges_each_report_by_itself(root, configs, matchers):
    graph = root / "model_repository" / triton.MATCHER / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    image = probe_image(tuple(configs[triton.IMAGE_ENCODER][0].input[0].dims))
    one = probe_tokens(int(parameter(configs[triton.TEXT_ENCODER][0], "length")))
    other = np.where(one > 0, one + 1, 0).astype(np.int32)
    together = np.stack([one, other], axis=1)  # (1, 2, L)
    (both,) = session.run(None, {triton.IMAGE_INPUT: image, triton.TEXT_INPUT: together})
    assert both.shape == (1, 2)
    for place, tokens in enumerate((one, other)):
        (alone,) = session.run(None, {triton.IMAGE_INPUT: image, triton.TEXT_INPUT: tokens[None]})
        np.testing.assert_allclose(alone[0, 0], both[0, place], atol=1e-3)


def test_the_statements_are_calibrated_for_the_encoders(root, configs):
    calibration = load_calibration(root / "model_repository" / "statements.json")
    encoders = {parameter(config, "model_version") for config in configs[triton.IMAGE_ENCODER]}
    assert {calibration.model_version} == encoders


def test_the_statements_have_the_concepts_of_their_codes(root):
    calibration = load_calibration(root / "model_repository" / "statements.json")
    for statement in calibration.statements:
        assert statement.snomed_code == snomed_code(statement.code)
