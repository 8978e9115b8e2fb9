"""SCP-ECG against the aECG of the same tracing."""

import numpy as np

from cardex.signals.readers import read
from tests.helpers.formats import one


def test_an_aecg_and_an_scp_of_the_same_tracing_are_equal(shared):
    aecg = read(one((shared / "formats" / "fda_aecg_subject1_0.xml").read_bytes()))
    scp = read(one((shared / "formats" / "scp_example.scp").read_bytes()))
    assert aecg.rate == scp.rate
    np.testing.assert_allclose(aecg.signal, scp.signal, rtol=0, atol=1e-5)
    assert {aecg.source, scp.source} == {"HL7 aECG", "SCP-ECG"}
