from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from cardex.api.convert.ecg import from_payload, to_payload
from cardex.domain.ecg import TypedSamples, Waveform
from cardex.local_stack.dataset import DemoData
from cardex.signals.cleaning import clean
from cardex.signals.quality import assess
from cardex.signals.readers import read
from loadtest import ecgs as module
from loadtest.ecgs import Ecgs
from tests.helpers.ecgs import ecg


@pytest.fixture
def source(monkeypatch) -> Ecgs:
    record = Waveform(ecg(bpm=70.0, seconds=12.0), 500.0)
    monkeypatch.setattr(module, "recordings", lambda folder: [[folder]])
    monkeypatch.setattr(module, "load", lambda files: files)
    monkeypatch.setattr(module, "read", lambda files: record)
    data = SimpleNamespace(cpsc=Path("cpsc"))
    return Ecgs(cast(DemoData, data), kinds=4)


def test_no_two_ecgs_are_equal(source):
    payloads = {to_payload(one) for one in source.take(30)}
    assert len(payloads) == 30


def test_an_ecg_is_a_record_of_five_seconds_in_whole_microvolts(source):
    (one,) = source.take(1)
    assert all(lead.steps for lead in one.samples.leads)
    found = from_payload(to_payload(one))
    assert isinstance(found, TypedSamples)
    assert {len(values) for values in found.values} == {2500}


def test_heart_rates_and_amplitudes_vary_and_each_is_an_ecg(source):
    waveforms = [read(from_payload(to_payload(one))) for one in source.take(4)]
    rates = [assess(one, clean(one, 100.0), 10.0).heart_rate_bpm for one in waveforms]
    assert len(set(rates)) == 4
    assert all(rate is not None and 50.0 < rate < 95.0 for rate in rates)
    assert len({float(np.ptp(one.signal[1])) for one in waveforms}) == 4
