import numpy as np
import pytest
from prometheus_client import REGISTRY

from cardex.domain.ecg import RecordingMetadata, Waveform
from cardex.domain.errors import InvalidEcg
from cardex.domain.index import Hit
from cardex.domain.jobs import Answer
from cardex.domain.quality import SignalQuality, SignalWarning
from cardex.domain.reports import Report
from cardex.retrieval.metrics import count_answer, count_refusal, device_of


def waveform(device: str, source: str = "SCP-ECG") -> Waveform:
    signal = np.zeros((12, 1000), np.float32)
    return Waveform(signal, 500.0, source, RecordingMetadata(device=device))


@pytest.mark.parametrize(
    ("told", "device"),
    [
        ("GE MAC 5500", "GE"),
        ("philips PageWriter TC50", "Philips"),
        ("NIHON KOHDEN ECG-1350", "Nihon Kohden"),
        ("Age of Mr Miller", "SCP-ECG"),
        ("Gerät 12 <script>", "SCP-ECG"),
        ("PHİLİPS PageWriter", "SCP-ECG"),
        ("Ph\u0131l\u0131ps", "SCP-ECG"),
        ("", "SCP-ECG"),
    ],
)
def test_a_cart_is_counted_by_its_maker_and_never_by_what_else_a_file_says(told, device):
    assert device_of(waveform(told)) == device


def hit(report: Report, similarity: float) -> Hit:
    """A hit whose score has more in it than the similarity."""
    return Hit(report, 1.0, 1, report_similarity=similarity)


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_an_answer_is_counted_with_its_nearest_report_and_each_warning_once():
    warnings = [SignalWarning("LEAD_OFF", "V1"), SignalWarning("LEAD_OFF", "V2")]
    report = Report("r", "text", record_ids=("1",))
    answer = Answer(
        (hit(report, 0.42), hit(report, 0.9)), (), "m", "i", "g",
        quality=SignalQuality(0.5, warnings=tuple(warnings)),
    )  # fmt: skip
    before = value("cardex_signal_warnings_total", warning="LEAD_OFF")
    total, count = value("cardex_nearest_similarity_sum"), value("cardex_nearest_similarity_count")
    count_answer(answer)
    assert value("cardex_signal_warnings_total", warning="LEAD_OFF") == before + 1
    assert value("cardex_nearest_similarity_sum") - total == pytest.approx(0.9)
    assert value("cardex_nearest_similarity_count") == count + 1


def test_similarities_as_the_shipped_models_give_them_are_told_apart():
    def at_most(bound: str) -> float:
        return value("cardex_nearest_similarity_bucket", le=bound)

    before = at_most("0.03"), at_most("0.04")
    count_answer(Answer((hit(Report("r", "text"), 0.035),), (), "m", "i", "g"))
    assert (at_most("0.03"), at_most("0.04")) == (before[0], before[1] + 1)


def test_a_refusal_is_counted_by_device_and_reason():
    before = value("cardex_refused_ecgs_total", device="GE", reason="FLAT")
    count_refusal("GE", InvalidEcg("flat", reason="FLAT", field="ecg"))
    assert value("cardex_refused_ecgs_total", device="GE", reason="FLAT") == before + 1
