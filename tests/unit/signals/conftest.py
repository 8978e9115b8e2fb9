import pytest


@pytest.fixture(scope="session")
def pyts_image():
    """pyts, the independent implementation; without its just-in-time compiler it loads in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        from pyts import image
    return image
