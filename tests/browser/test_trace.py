"""What the page computes of a trace, against the same in Python."""

import base64

import numpy as np
import pytest
from playwright.sync_api import Page
from scipy.signal import medfilt

from cardex.domain.ecg import LEADS
from cardex.signals.trace import pack
from tests.helpers.ecgs import ecg

UNPACK = """async ([packed, samples, resolution]) => {
  const { unpack, LEADS } = await import("/page/trace.js");
  const trace = { packed, samples, resolution_mv: resolution, rate_hz: 250, r_peaks: [1] };
  const ecg = await unpack(trace);
  return LEADS.map((name) => [...ecg.leads[name]]);
}"""


@pytest.mark.parametrize("size", [3, 900, 32767])
def test_a_trace_is_unpacked_as_it_was_packed(page: Page, size):
    steps = np.random.default_rng(size).integers(-size, size, (12, 500)).astype(np.int32)
    packed = base64.b64encode(pack(steps)).decode()
    read = page.evaluate(UNPACK, [packed, 500, 1.0])
    assert np.array_equal(np.array(read), steps)


def test_a_damaged_trace_is_refused(page: Page):
    packed = base64.b64encode(pack(np.zeros((12, 10), dtype=np.int32))).decode()
    with pytest.raises(Exception, match="the trace is damaged"):
        page.evaluate(UNPACK, [packed, 11, 1.0])


def test_the_moving_median_is_that_of_scipy(page: Page):
    values = np.random.default_rng(1).normal(size=400).astype(np.float32)
    script = """async ([values, width]) => {
      const { medianFiltered } = await import("/page/trace.js");
      return [...medianFiltered(Float32Array.from(values), width)];
    }"""
    for width in (3, 51):
        inside = slice(width, -width)
        ours = np.array(page.evaluate(script, [values.tolist(), width]))
        assert ours[inside] == pytest.approx(medfilt(values, width)[inside], abs=1e-6)


def test_the_median_beat_is_that_of_numpy(page: Page):
    signal = ecg(rate=250.0, bpm=60.0)
    peaks = list(range(100, 2500, 250))
    script = """async ([leads, rPeaks]) => {
      const { LEADS, medianBeat } = await import("/page/trace.js");
      const named = Object.fromEntries(LEADS.map((name, n) => [name, Float32Array.from(leads[n])]));
      const ecg = { rate: 250, samples: leads[0].length, leads: named, rPeaks };
      const beat = medianBeat(ecg, 0.24, 0.44);
      return { count: beat.count, leads: LEADS.map((name) => [...beat.leads[name]]) };
    }"""
    beat = page.evaluate(script, [signal.tolist(), peaks])
    first, size = 60, 170
    cut = np.stack([signal[:, p - first : p - first + size] for p in peaks])
    level = cut - np.median(cut, axis=-1, keepdims=True)
    assert beat["count"] == len(cut)
    assert np.array(beat["leads"]) == pytest.approx(np.median(level, axis=0), abs=1e-5)
    assert len(LEADS) == len(beat["leads"])
