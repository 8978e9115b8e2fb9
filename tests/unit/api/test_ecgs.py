import os

import numpy as np
import pytest

from cardex.api.convert.ecg import from_payload, to_payload
from cardex.api.ecgs import ecg_of_files, ecg_of_samples
from cardex.domain.ecg import LEADS, TypedSamples
from cardex.domain.errors import InvalidEcg
from tests.helpers.ecgs import DICOM, dicom


def test_a_single_file_is_its_bytes():
    assert from_payload(to_payload(ecg_of_files([DICOM]))) == dicom()


def test_the_other_files_of_a_recording_are_companions(tmp_path):
    for name in ("a.hea", "a.dat", "a.mat"):
        (tmp_path / name).write_text(name)
    file = ecg_of_files([tmp_path / name for name in ("a.hea", "a.dat", "a.mat")]).file
    assert (file.name, file.content) == ("a.hea", b"a.hea")
    assert [(other.name, other.content) for other in file.companions] == [
        ("a.dat", b"a.dat"),
        ("a.mat", b"a.mat"),
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InvalidEcg, match=r"none\.dcm: No such file"):
        ecg_of_files([tmp_path / "none.dcm"])


def test_an_array_is_typed_samples():
    signal = np.arange(24, dtype=np.float64).reshape(12, 2)
    found = from_payload(to_payload(ecg_of_samples(signal, 500)))
    assert isinstance(found, TypedSamples)
    assert (found.leads, found.rate, found.unit) == (LEADS, 500.0, "mV")
    np.testing.assert_array_equal(found.values, signal)


@pytest.mark.parametrize("shape", [(11, 5), (12,), (5, 12)])
def test_an_array_of_another_shape_is_refused_with_the_shape_it_needs(shape):
    with pytest.raises(InvalidEcg, match=r"must be \(12, samples\)") as caught:
        ecg_of_samples(np.zeros(shape), 500)
    assert caught.value.field == "ecg.samples.leads"


def test_a_name_that_is_no_utf_8_is_sent_all_the_same(tmp_path):
    path = tmp_path / os.fsdecode(b"a\xff.dcm")
    path.write_bytes(b"an ECG")
    assert ecg_of_files([path]).file.name == "a?.dcm"


def test_samples_that_are_no_numbers_are_refused():
    with pytest.raises(InvalidEcg, match="no array of numbers"):
        ecg_of_samples([["a"], ["b"]], 500)
