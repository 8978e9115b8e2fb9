import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardex.domain.ecg import Waveform
from cardex.domain.errors import InvalidEcg
from cardex.domain.trace import MAX_TRACE_BYTES
from cardex.signals.trace import pack, trace_of, unpack, waveform_of
from tests.helpers.ecgs import ecg


@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.sampled_from([3, 400, 32767]))
def test_what_was_packed_is_unpacked(seed: int, samples: int, size: int) -> None:
    steps = np.random.default_rng(seed).integers(-size, size + 1, (12, samples)).astype(np.int32)
    assert np.array_equal(unpack(pack(steps), samples), steps)


def test_a_trace_shows_the_recording_less_its_level() -> None:
    waveform = Waveform(ecg(250.0), 250.0)
    shifted = replace(waveform, signal=waveform.signal + np.float32(0.7))
    trace = trace_of(shifted)
    shown = waveform_of(trace)
    level = waveform.signal - np.median(waveform.signal, axis=1, keepdims=True)
    assert shown.rate == 250.0
    assert np.abs(shown.signal - level).max() <= 0.51 * trace.resolution


def test_noise_gets_coarser_steps_until_it_fits() -> None:
    noise = np.random.default_rng(0).normal(0.0, 60.0, (12, 40_000)).astype(np.float32)
    trace = trace_of(Waveform(noise, 4000.0))
    assert len(trace.packed) <= MAX_TRACE_BYTES
    assert trace.rate == 100.0
    assert trace.resolution > 0.01


def test_a_trace_of_a_long_recording_says_where_it_begins() -> None:
    waveform = Waveform(ecg(100.0, 60.0), 100.0)
    trace = trace_of(waveform)
    assert trace.samples == 1000
    begin = round(trace.start * 100.0)
    assert begin > 0
    level = waveform.signal - np.median(waveform.signal, axis=1, keepdims=True)
    shown = waveform_of(trace).signal
    near = np.abs(shown - level[:, begin : begin + 1000]).max()
    assert near <= 0.51 * trace.resolution


def test_r_peaks_stand_at_the_highest_samples() -> None:
    waveform = Waveform(ecg(250.0), 250.0)
    trace = trace_of(waveform)
    shown = np.abs(waveform_of(trace).signal).sum(axis=0)
    assert len(trace.r_peaks) >= 8
    for peak in trace.r_peaks:
        near = shown[max(0, peak - 25) : peak + 26]
        assert shown[max(0, peak - 3) : peak + 4].max() == near.max()


@pytest.mark.parametrize(
    "packed", [b"", b"rubbish", zlib.compress(b"12"), pack(np.zeros((12, 9), np.int32))]
)
def test_a_damaged_trace_is_said(packed: bytes) -> None:
    with pytest.raises(InvalidEcg):
        unpack(packed, 10)
