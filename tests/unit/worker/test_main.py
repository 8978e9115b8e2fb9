import logging

import pytest

from cardex.domain.errors import ConfigurationError, Unavailable, VersionMismatch
from cardex.worker.main import check_models
from tests.helpers.fake_encoder import FakeEncoder


def test_what_is_served_is_told_at_the_start(caplog):
    caplog.set_level(logging.INFO)
    check_models(FakeEncoder("m2", "m1"))
    assert caplog.messages == ["served: m2, m1"]


def test_a_worker_starts_while_triton_is_down(caplog):
    encoder = FakeEncoder()
    encoder.error = Unavailable("Triton is down")
    check_models(encoder)
    assert "jobs wait" in caplog.text


@pytest.mark.parametrize(
    "error", [ConfigurationError("another shape"), VersionMismatch("another tokenizer")]
)
def test_a_worker_does_not_start_with_models_that_do_not_fit(error):
    encoder = FakeEncoder()
    encoder.error = error
    with pytest.raises(type(error)):
        check_models(encoder)
