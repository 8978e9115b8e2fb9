import pytest

from tests.helpers.fake_model import calibration, model_info
from tests.helpers.house import House
from tests.helpers.retrieval import REPORTS


@pytest.fixture
def house():
    """A retriever of five reports."""
    return House(*REPORTS)


@pytest.fixture
def matching():
    """A retriever of five reports whose model has a matcher."""
    house = House(*REPORTS, calibration=calibration("SR", match_weight=1.0))
    house.encoder.served = (model_info(matcher=True),)
    return house
