import pytest

from cardex.api.recordings import load
from cardex.domain.ecg import Waveform
from cardex.signals.readers import read
from tests.helpers.ecgs import ecg, wfdb_record


@pytest.fixture(scope="session")
def pyts_image():
    """pyts, an independent library; without its just-in-time compiler it is imported in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        from pyts import image
    return image


@pytest.fixture
def ptbxl(shared):
    """Read the first records of a PTB-XL folder: call it with the folder's name and how many."""

    def first(folder: str, count: int) -> list[Waveform]:
        headers = sorted((shared / "ptbxl" / folder).glob("*/*.hea"))[:count]
        assert len(headers) == count
        return [read(load([path, path.with_suffix(".dat")])) for path in headers]

    return first


@pytest.fixture
def record(tmp_path):
    """Header and signal file of a WFDB record of 10 s at 500 Hz."""
    return wfdb_record(tmp_path, ecg())
