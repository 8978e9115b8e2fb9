import numpy as np
import pytest
from scipy import signal as dsp

from cardex.domain.ecg import LEADS, FilePart, Waveform
from cardex.domain.errors import InvalidEcg
from cardex.signals.calibration_pulse import find_pulses, leave_out_pulses
from cardex.signals.cleaning import Filter, clean
from cardex.signals.quality import RATE_HZ, assess
from cardex.signals.readers import read
from tests.helpers.ecgs import dicom, ecg, typed, wfdb_record

RATES = (100.0, 250.0, 500.0, 1000.0)
LEVEL_S = 0.2
"""Seconds of the level before and after each pulse that is put in."""


def pulse(
    rate: float = 500.0,
    *,
    seconds: float = 0.2,
    height: float = 1.0,
    noise: float = 0.0,
    low_pass: float = 0.0,
) -> np.ndarray:
    """A pulse between two pieces of level, which differs between the leads: (12, samples) mV."""
    rng = np.random.default_rng(3)
    level, top = round(rate * LEVEL_S), round(rate * seconds)
    step = np.concatenate([np.zeros(level), np.full(top, height), np.zeros(level)])
    if low_pass:
        sections = dsp.butter(2, low_pass, output="sos", fs=rate)
        step = dsp.sosfiltfilt(sections, step)
    leads = step + rng.normal(0.0, 0.1, (12, 1)) + rng.normal(0.0, noise, (12, len(step)))
    return leads.astype(np.float32)


def put_in(signal: np.ndarray, place: int, piece: np.ndarray) -> np.ndarray:
    return np.concatenate([signal[:, :place], piece, signal[:, place:]], axis=1)


@pytest.fixture
def real(ptbxl):
    """Real ECGs of 10 s at 500 Hz, and what they become at another rate."""
    records = ptbxl("records500", 12)

    def at(rate: float) -> list[np.ndarray]:
        if rate == 500.0:
            return [record.signal for record in records]
        high = 0.45 * rate if rate < 500.0 else 0.0
        return [clean(record, rate, Filter(band_hz=(0.0, high))) for record in records]

    return at


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.4])
def test_a_pulse_in_the_middle_is_found_where_it_is(real, rate, seconds):
    for signal in real(rate):
        place = signal.shape[1] // 2
        found = find_pulses(put_in(signal, place, pulse(rate, seconds=seconds)), rate)
        begin = place + round(LEVEL_S * rate)
        assert np.allclose(found, [(begin, begin + round(seconds * rate))], atol=1, rtol=0)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("noise", "low_pass"), [(0.01, 0.0), (0.01, 40.0), (0.02, 25.0)])
@pytest.mark.parametrize("places", [(0.0,), (1.0,), (0.0, 1.0), (0.0, 0.3, 1.0)])
def test_noisy_and_filtered_pulses_are_left_out_wherever_they_are(
    real, rate, noise, low_pass, places
):
    piece = pulse(rate, noise=noise, low_pass=low_pass)
    for signal in real(rate):
        samples = signal.shape[1]
        made = signal
        for place in sorted(places, reverse=True):
            made = put_in(made, round(place * samples), piece)
        kept = leave_out_pulses(Waveform(made, rate))
        assert len(kept.pulses) == len(places)
        expected = max(np.diff([0.0, *places, 1.0])) * 10.0
        # of the ECG, only what is as level as the piece beside a pulse is left out with it
        assert expected - 1.0 <= kept.seconds <= expected + 0.02
        first = round(kept.start * rate)
        np.testing.assert_array_equal(kept.signal, made[:, first : first + kept.signal.shape[1]])
        assert not find_pulses(kept.signal, rate)


def test_several_pulses_in_a_row_are_left_out_together():
    signal = put_in(ecg(), 5000, np.tile(pulse(), 3))
    kept = leave_out_pulses(Waveform(signal, 500.0))
    np.testing.assert_allclose(kept.pulses, [(10.2, 10.4), (10.8, 11.0), (11.4, 11.6)], atol=2e-3)
    assert kept.seconds == pytest.approx(10.0, abs=0.5)


@pytest.mark.parametrize("cut_s", [0.25, 0.3, 0.35])
def test_a_record_may_begin_or_end_within_a_pulse(real, cut_s):
    cut = round(cut_s * 500.0)
    for signal in real(500.0):
        for made in (
            put_in(signal, 0, pulse()[:, cut:]),
            put_in(signal, signal.shape[1], pulse()[:, :-cut]),
        ):
            assert len(find_pulses(made, 500.0)) == 1


def test_a_pulse_a_moment_after_the_start_is_found_once():
    made = put_in(ecg(), 0, pulse()[:, round(LEVEL_S * 500.0) - 5 :])
    assert len(find_pulses(made, 500.0)) == 1


@pytest.mark.parametrize("rate", RATES)
def test_derived_limb_leads_do_not_hide_a_pulse(rate):
    made = put_in(ecg(rate=rate), 0, pulse(rate))
    eight = [n for n, lead in enumerate(LEADS) if lead not in ("III", "aVR", "aVL", "aVF")]
    waveform = read(typed(made[eight], rate=rate, leads=[LEADS[n] for n in eight]))
    assert len(waveform.pulses) == 1
    assert waveform.start == pytest.approx(0.6, abs=0.5)


@pytest.mark.parametrize("lead", ["I", "II", "V1", "V6"])
def test_a_step_that_one_lead_does_not_make_is_no_pulse(lead):
    made = put_in(ecg(), 2500, pulse())
    made[LEADS.index(lead)] = put_in(ecg(), 2500, pulse(height=0.0))[LEADS.index(lead)]
    assert not find_pulses(made, 500.0)


@pytest.mark.parametrize(
    "piece",
    [
        pulse(height=0.5),
        pulse(height=-1.0),
        pulse(height=2.0),
        pulse(seconds=0.03),
        pulse(seconds=0.6),
        pulse(noise=0.2),
    ],
    ids=["half", "downwards", "double", "spike", "long", "noise"],
)
def test_other_steps_are_no_pulses(piece):
    assert not find_pulses(put_in(ecg(), 2500, piece), 500.0)


def test_a_pacing_spike_and_equal_beats_are_no_pulses():
    spike = ecg()
    spike[:, 1000:1002] += 1.0
    assert not find_pulses(spike, 500.0)
    for bpm in (40.0, 66.0, 180.0):
        assert not find_pulses(np.tile(ecg(bpm=bpm)[6], (12, 1)), 500.0)


def test_equal_noise_on_all_leads_is_no_pulse():
    noise = np.random.default_rng(0).normal(0.0, 0.5, 5000).astype(np.float32)
    assert not find_pulses(np.tile(noise, (12, 1)), 500.0)


def test_leads_that_fall_off_and_come_back_are_no_pulse():
    signal = ecg()
    signal[:, 2000:2100] = signal[:, 2000:2001]
    assert not find_pulses(signal, 500.0)


def test_real_records_have_no_pulses(ptbxl):
    for folder, count in (("records100", 300), ("records500", 100)):
        for waveform in ptbxl(folder, count):
            assert leave_out_pulses(waveform) is waveform
    assert read(dicom()).pulses == ()


# On the way of a recording.


def test_the_pulse_of_a_philips_file_is_left_out_and_told(shared):
    parts = (FilePart("", (shared / "formats" / "philips_sierra_1_04.xml").read_bytes()),)
    waveform = read(parts)
    assert waveform.pulses == ((10.7, 10.9),)
    assert (waveform.start, waveform.seconds) == (0.0, 10.6)
    warnings = {w.code: w for w in assess(waveform, clean(waveform, RATE_HZ), 10.0).warnings}
    assert "LEADS_INCONSISTENT" not in warnings
    note = warnings["CALIBRATION_PULSE"]
    assert note.leads == ()
    assert "10.70 to 10.90 s" in note.message
    assert "0.00 to 10.60 s" in note.message


def test_files_and_typed_samples_are_cut_alike(tmp_path):
    made = put_in(ecg(), 0, pulse())
    first = read(typed(made))
    second = read(wfdb_record(tmp_path, made))
    assert first.pulses == second.pulses != ()
    np.testing.assert_allclose(first.signal, second.signal, rtol=0, atol=6e-4)


def test_the_whole_record_is_read_where_it_is_asked_for():
    made = put_in(ecg(), 0, pulse())
    whole = read(typed(made), with_pulses=True)
    np.testing.assert_array_equal(whole.signal, made)
    assert whole.pulses == ()


def test_a_record_with_too_little_beside_its_pulse_is_refused():
    made = put_in(ecg(seconds=3.0), 750, pulse())
    with pytest.raises(InvalidEcg, match=r"calibration pulse at 1\.70 s") as caught:
        read(typed(made))
    assert (caught.value.reason, caught.value.field) == ("DURATION", "ecg.samples.leads")


def test_a_record_of_nothing_but_a_pulse_is_flat():
    flat = np.zeros((12, 5000), dtype=np.float32)
    flat[:, 100:200] = 1.0
    with pytest.raises(InvalidEcg) as caught:
        read(typed(flat))
    assert caught.value.reason == "ALL_LEADS_FLAT"
