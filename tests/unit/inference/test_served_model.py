import re

import pytest
from tritonclient.grpc.model_config_pb2 import DataType

from cardex.domain.errors import ConfigurationError, VersionMismatch
from cardex.inference.repository import (
    IMAGE_ENCODER,
    MATCHER,
    STAT_INSTANCE,
    TEXT_ENCODER,
    ModelVersion,
    parameter_key,
)
from cardex.inference.served_model import read_served
from tests.helpers.unit_models import (
    FINGERPRINT,
    LARGEST,
    LENGTH,
    PROBE,
    SPEC,
    add_version,
    change,
    install,
    small_configs,
)

TRITON_VERSION = 2
DIMS = str(list(SPEC.shape))
INT64, FP32 = DataType.Value("TYPE_INT64"), DataType.Value("TYPE_FP32")


@pytest.fixture
def release(tmp_path):
    return install(tmp_path, TRITON_VERSION)


@pytest.fixture
def configs():
    """Version 2 of every model, beside another version 1."""
    configs = small_configs()
    add_version(configs, 1, "m1")
    add_version(configs, TRITON_VERSION, "m2")
    return configs


def test_a_version_is_told_as_the_rest_of_cardex_knows_it(release, configs):
    info = read_served(release, configs).info
    assert (info.version, info.triton_version, info.image_spec, info.dimension) == (
        "m2",
        2,
        SPEC,
        4,
    )
    assert info.matcher


def test_what_is_needed_to_call_it_comes_with_it(release, configs):
    served = read_served(release, configs)
    assert served.largest == LARGEST
    assert served.probes == {IMAGE_ENCODER: PROBE, TEXT_ENCODER: PROBE}
    assert served.tokenizer.fingerprint == FINGERPRINT


@pytest.mark.parametrize("triton_version", [1, 2])
def test_of_several_versions_each_has_its_own_parameters(tmp_path, configs, triton_version):
    change(configs, IMAGE_ENCODER, 1, probe="[1.0]")
    served = read_served(install(tmp_path, triton_version), configs)
    assert served.info.version == f"m{triton_version}"
    assert served.probes[IMAGE_ENCODER] == ([1.0] if triton_version == 1 else PROBE)


@pytest.mark.parametrize("model", [STAT_INSTANCE, MATCHER])
def test_stat_instance_and_matcher_may_be_missing(release, configs, model):
    assert read_served(release, configs).has(model)
    del configs[model]
    served = read_served(release, configs)
    assert not served.has(model)
    assert served.info.matcher == (model != MATCHER)


# Tensors that are not what the client sends or reads: what is changed, and what is told of it.


def tensor(model: str, side: str, of: str, **changes):
    def spoil(configs) -> None:
        found = next(one for one in getattr(configs[model], side) if one.name == of)
        for field, value in changes.items():
            if field == "dims":
                found.dims[:] = value
            else:
                setattr(found, field, value)

    return spoil


def one_more_input(configs) -> None:
    configs[TEXT_ENCODER].input.add(name="mask", data_type=INT64, dims=[LENGTH])


def no_output(configs) -> None:
    del configs[TEXT_ENCODER].output[:]


SPOILED = {
    "type of the image": (
        tensor(IMAGE_ENCODER, "input", "image", data_type=FP32),
        f"ecg_image_encoder takes image TYPE_FP32 {DIMS}, this Cardex image TYPE_UINT8 {DIMS}",
    ),
    "dims of the image": (
        tensor(IMAGE_ENCODER, "input", "image", dims=[3, 4, 1]),
        f"ecg_image_encoder takes image TYPE_UINT8 [3, 4, 1], this Cardex image TYPE_UINT8 {DIMS}",
    ),
    "name of the image": (
        tensor(IMAGE_ENCODER, "input", "image", name="1519"),
        f"ecg_image_encoder takes 1519 TYPE_UINT8 {DIMS}, this Cardex image TYPE_UINT8 {DIMS}",
    ),
    "dims of the STAT instance's image": (
        tensor(STAT_INSTANCE, "input", "image", dims=[1, 1, 1]),
        "ecg_image_encoder_stat takes image TYPE_UINT8 [1, 1, 1], this Cardex",
    ),
    "type of the tokens": (
        tensor(TEXT_ENCODER, "input", "token_ids", data_type=INT64),
        "report_text_encoder takes token_ids TYPE_INT64 [64], this Cardex token_ids TYPE_INT32",
    ),
    "dims of the tokens": (
        tensor(TEXT_ENCODER, "input", "token_ids", dims=[32]),
        "report_text_encoder takes token_ids TYPE_INT32 [32], this Cardex token_ids TYPE_INT32",
    ),
    "one more input": (
        one_more_input,
        "report_text_encoder takes token_ids TYPE_INT32 [64], mask TYPE_INT64 [64], this Cardex",
    ),
    "name of the embedding": (
        tensor(IMAGE_ENCODER, "output", "embedding", name="pooled"),
        "ecg_image_encoder gives pooled TYPE_FP32 [4], this Cardex embedding TYPE_FP32 [4]",
    ),
    "type of the embedding": (
        tensor(IMAGE_ENCODER, "output", "embedding", data_type=INT64),
        "ecg_image_encoder gives embedding TYPE_INT64 [4], this Cardex embedding TYPE_FP32 [4]",
    ),
    "no embedding": (
        no_output,
        "report_text_encoder gives nothing, this Cardex embedding TYPE_FP32 [4]",
    ),
    "reports of another space": (
        tensor(TEXT_ENCODER, "output", "embedding", dims=[8]),
        "report_text_encoder gives embedding TYPE_FP32 [8], this Cardex embedding TYPE_FP32 [4]",
    ),
    "a STAT instance of another space": (
        tensor(STAT_INSTANCE, "output", "embedding", dims=[8]),
        "ecg_image_encoder_stat gives embedding TYPE_FP32 [8], this Cardex embedding TYPE_FP32 [4]",
    ),
    "a matcher of three reports": (
        tensor(MATCHER, "input", "token_ids", dims=[3, 64]),
        "token_ids TYPE_INT32 [3, 64], this Cardex image",
    ),
    "a matcher's match": (
        tensor(MATCHER, "output", "match", dims=[1]),
        "ecg_report_matcher gives match TYPE_FP32 [1], this Cardex match TYPE_FP32 [-1]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILED)
def test_a_tensor_that_does_not_fit_is_told_with_both_sides(release, configs, what):
    spoil, told = SPOILED[what]
    spoil(configs)
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        read_served(release, configs)


@pytest.mark.parametrize("dims", [[-1], [2, 2], []])
def test_an_embedding_is_one_vector_of_fixed_length(release, configs, dims):
    for model in (IMAGE_ENCODER, STAT_INSTANCE, TEXT_ENCODER):
        configs[model].output[0].dims[:] = dims
    with pytest.raises(
        ConfigurationError, match=r"ecg_image_encoder gives embedding .*fixed length"
    ):
        read_served(release, configs)


@pytest.mark.parametrize("model", [IMAGE_ENCODER, TEXT_ENCODER])
def test_a_model_without_batches_is_refused(release, configs, model):
    configs[model].max_batch_size = 0
    with pytest.raises(ConfigurationError, match=rf"{model}.*max_batch_size"):
        read_served(release, configs)


# Parameters.


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (IMAGE_ENCODER, "model_version"),
        (IMAGE_ENCODER, "probe"),
        (IMAGE_ENCODER, "image_spec"),
        (STAT_INSTANCE, "model_version"),
        (TEXT_ENCODER, "model_version"),
        (TEXT_ENCODER, "probe"),
        (TEXT_ENCODER, "tokenizer_sha256"),
        (TEXT_ENCODER, "length"),
        (MATCHER, "model_version"),
    ],
)
def test_a_missing_parameter_is_named_with_its_model_and_version(release, configs, model, name):
    del configs[model].parameters[parameter_key(TRITON_VERSION, name)]
    with pytest.raises(ConfigurationError, match=rf"of {model} lacks parameters \['2\.{name}'\]"):
        read_served(release, configs)


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        (IMAGE_ENCODER, "image_spec", "{"),
        (IMAGE_ENCODER, "image_spec", '{"layout": "strip"}'),
        (IMAGE_ENCODER, "probe", "nothing"),
        (TEXT_ENCODER, "probe", '{"a": 1}'),
        (TEXT_ENCODER, "length", "many"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_named_with_its_model(
    release, configs, model, name, value
):
    change(configs, model, TRITON_VERSION, **{name: value})
    with pytest.raises(ConfigurationError, match=rf"{model}.*{name}"):
        read_served(release, configs)


# Parts that do not belong together.


@pytest.mark.parametrize("model", [STAT_INSTANCE, TEXT_ENCODER, MATCHER])
def test_models_of_different_versions_are_refused_with_both(release, configs, model):
    change(configs, model, TRITON_VERSION, model_version="m9")
    with pytest.raises(VersionMismatch, match=rf"ecg_image_encoder m2 beside {model} m9"):
        read_served(release, configs)


def test_another_tokenizer_is_refused_with_both_fingerprints(release, configs):
    change(configs, TEXT_ENCODER, TRITON_VERSION, tokenizer_sha256="e" * 64)
    told = (
        r"report_text_encoder m2 was trained with tokenizer e{12}, .*2/tokenizer\.json is"
        f" {FINGERPRINT[:12]}"
    )
    with pytest.raises(VersionMismatch, match=told):
        read_served(release, configs)


def test_a_missing_tokenizer_is_named_with_the_setting(tmp_path, configs):
    told = r"serves m2 as version 2.*report_text_encoder/2/tokenizer\.json.*CARDEX_MODEL_REPOSITORY"
    with pytest.raises(ConfigurationError, match=told):
        read_served(ModelVersion(tmp_path, TRITON_VERSION), configs)


def test_reports_of_another_length_are_refused_with_both(release, configs):
    change(configs, TEXT_ENCODER, TRITON_VERSION, length="32")
    with pytest.raises(
        VersionMismatch, match=r"makes 64 tokens, report_text_encoder m2 takes 32: install"
    ):
        read_served(release, configs)
