"""The benchmark's clinical files: valid, real, and no two alike."""

import numpy as np

from cardex.api.convert.ecg import from_payload, to_payload
from cardex.domain.ecg import LEADS, Waveform
from cardex.signals.readers import read
from loadtest.files import DicomFiles, WfdbFiles, cut, wfdb_of
from tests.helpers.real import demo_data, real_signal


def waveforms(ecgs):
    return [read(from_payload(to_payload(ecg))) for ecg in ecgs]


def test_wfdb_files_hold_the_real_samples_and_differ():
    files = WfdbFiles(demo_data()).take(21)
    assert len({to_payload(ecg) for ecg in files}) == 21
    found = waveforms(files)
    assert {one.source for one in found} == {"WFDB"}
    assert all(one.rate == 500.0 and one.signal.shape[0] == 12 for one in found)
    # The eleventh is the first record again, 70 samples later and a microvolt higher.
    first, later = found[0].signal, found[10].signal
    np.testing.assert_allclose(later[:, :-70], first[:, 70:] + 0.001, atol=2e-4)


def test_dicom_files_hold_the_real_samples_and_differ():
    files = DicomFiles(demo_data()).take(4)
    assert len({to_payload(ecg) for ecg in files}) == 4
    found = waveforms(files)
    assert {one.source for one in found} == {"DICOM Waveform"}
    whole = real_signal()
    for number, one in enumerate(found):
        assert one.rate == 1000.0
        there = whole[:, number * 7 : number * 7 + 9000]
        offset = one.signal - there
        assert np.ptp(offset, axis=1).max() < 1e-4
        assert bool(number) == bool(np.abs(offset).max() > 1e-4)


def test_a_record_shorter_than_the_cut_stays_whole():
    signal = np.arange(24.0).reshape(12, 2)
    assert cut(signal, 3, 5).shape == cut(signal, 2, 5).shape == (12, 2)
    assert cut(signal, 1, 1).shape == (12, 1)


def test_a_waveform_is_written_as_wfdb_to_the_microvolt():
    signal = np.round(real_signal()[:, :5000], 3)
    found = read(wfdb_of(Waveform(signal, 500.0)))
    np.testing.assert_allclose(found.signal, signal, atol=1e-6)
    assert len(LEADS) == len(found.signal)
