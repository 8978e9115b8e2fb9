"""Samples that a client typed: named leads with a sampling rate and a unit."""

import numpy as np

from cardex.domain.ecg import TypedSamples, Waveform
from cardex.domain.errors import InvalidEcg
from cardex.signals.formats.ecgdatakit_adapter import MILLIVOLTS
from cardex.signals.leads import arrange, refuse_repeated

SOURCE = "samples"
FIELD = "ecg.samples.leads"


def read(samples: TypedSamples) -> Waveform:
    """Put typed samples in order and in mV.

    Raises:
        InvalidEcg: if there are none, the unit is unknown, or the leads are not complete.
    """
    scale = MILLIVOLTS.get(samples.unit.lower())
    if scale is None:
        raise InvalidEcg(
            f'unknown unit "{samples.unit[:20]}": send mV or uV',
            reason="UNIT",
            field="ecg.samples.unit",
        )
    if not samples.values or not any(len(values) for values in samples.values):
        raise InvalidEcg("no samples", reason="EMPTY_PAYLOAD", field=FIELD)
    refuse_repeated(samples.leads, field=f"{FIELD}.name")
    by_name = dict(zip(samples.leads, samples.values, strict=True))
    signal = arrange(by_name, field=FIELD)
    if scale != 1.0:
        signal *= np.float32(scale)
    return Waveform(signal, samples.rate, SOURCE)
