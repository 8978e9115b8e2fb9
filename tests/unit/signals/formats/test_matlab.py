"""MATLAB files that come without their WFDB header."""

import pytest

from cardex.domain.errors import InvalidEcg
from cardex.signals.readers import read
from tests.helpers.formats import one
from tests.helpers.real import demo_data


def test_a_matlab_file_alone_is_refused_with_the_remedy():
    mat = demo_data().cpsc[0].with_suffix(".mat").read_bytes()
    for content in (mat, b"MATLAB 5.0 MAT-file, Platform: nt" + b"\0" * 200):
        with pytest.raises(InvalidEcg, match=r"send the \.hea header") as caught:
            read(one(content, "A0001.mat"))
        assert (caught.value.reason, caught.value.field) == (
            "MISSING_FILE",
            "ecg.file.companions",
        )
