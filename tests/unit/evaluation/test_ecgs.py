"""Waveforms of a small PTB-XL folder: what is cut, what is known of them, what the cache keeps."""

import numpy as np
import pytest
import wfdb

from cardex.domain.ecg import LEADS
from cardex.domain.errors import InvalidReport
from cardex.evaluation import ecgs
from cardex.evaluation.ecgs import KEPT, load
from cardex.reports.ptbxl import Record
from cardex.signals import cleaning


def record(number: int, fold: int = 9) -> Record:
    return Record(number, number, fold, "x", {}, f"records100/0000{number}_lr")


def samples(beats) -> np.ndarray:
    """Return 10 s at 100 Hz of the beats: (12, 1000) float64, mV."""
    return beats[:, ::5][:, :1000].astype(float)


def write(folder, number: int, signal: np.ndarray) -> None:
    wfdb.wrsamp(
        f"0000{number}_lr", fs=100, units=["mV"] * 12, sig_name=list(LEADS), p_signal=signal.T,
        fmt=["16"] * 12, adc_gain=[1000.0] * 12, baseline=[0] * 12,
        write_dir=str(folder / "records100"),
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path, beats):
    """PTB-XL's layout with records 1 and 2, which differ in their last ten samples only."""
    (tmp_path / "records100").mkdir()
    for number in (1, 2):
        own = samples(beats)
        own[:, -10:] += number
        write(tmp_path, number, own)
    return tmp_path


@pytest.fixture
def with_extra(folder):
    values = np.random.default_rng(0).integers(-3000, 3000, (2, 1000, 12)).astype(np.int16)
    np.savez(folder / ecgs.EXTRA, ecg_id=np.array([7, 3]), x=values)
    return folder


def test_the_last_tenth_of_a_second_has_no_effect(folder):
    found = load(folder, [record(1), record(2)])
    assert found.signals.shape == (2, 12, KEPT) == (2, 12, 990)
    np.testing.assert_array_equal(found.signals[0], found.signals[1])
    assert found.calibrated.all()


def test_z_scored_records_are_known_as_not_calibrated(with_extra):
    found = load(with_extra, [record(1), record(3, fold=1), record(9)])
    assert [each.ecg_id for each in found.records] == [1, 3]
    assert found.calibrated.tolist() == [True, False]
    assert found.signals.shape == (2, 12, KEPT)
    own = found.of_folds([1])
    assert [each.ecg_id for each in own.records] == [3]
    assert own.calibrated.tolist() == [False]


def test_a_folder_without_waveforms_is_refused(tmp_path):
    with pytest.raises(InvalidReport, match="has no waveform"):
        load(tmp_path, [record(1)])


def test_the_cache_is_used_until_ids_or_code_change(folder, tmp_path, monkeypatch):
    cache, records = tmp_path / "cache", [record(1), record(2)]
    first = load(folder, records, cache)
    (kept,) = cache.iterdir()
    np.save(kept, np.zeros_like(first.signals))
    assert not load(folder, records, cache).signals.any()
    assert load(folder, records[:1], cache).signals.any()
    monkeypatch.setattr(ecgs, "_code", lambda: b"other code")
    np.testing.assert_array_equal(load(folder, records, cache).signals, first.signals)
    assert len(list(cache.iterdir())) == 3


def test_the_code_that_cleans_is_part_of_the_cache_s_key(tmp_path, monkeypatch):
    before = ecgs._code.__wrapped__()
    changed = tmp_path / "cleaning.py"
    changed.write_text("ORDER = 4\n")
    monkeypatch.setattr(cleaning, "__file__", str(changed))
    assert ecgs._code.__wrapped__() != before


def test_records_that_cannot_be_used_are_left_out_and_named(folder, caplog):
    write(folder, 3, np.zeros((12, 1000)))
    (folder / "records100/00002_lr.dat").write_bytes(b"\0" * 100)
    found = load(folder, [record(number) for number in (2, 1, 3)])
    assert [each.ecg_id for each in found.records] == [1]
    assert found.signals.shape == (1, 12, KEPT)
    assert np.isfinite(found.signals).all()
    assert found.calibrated.tolist() == [True]
    assert "00002_lr: " in caplog.text
    assert "00003_lr: all leads are flat" in caplog.text
    assert "2 of 3 ECGs cannot be read and are left out" in caplog.text


def test_extra_records_follow_those_that_are_left(with_extra):
    (with_extra / "records100/00001_lr.dat").unlink()
    found = load(with_extra, [record(1), record(2), record(7)])
    assert [each.ecg_id for each in found.records] == [2, 7]
    assert found.calibrated.tolist() == [True, False]


def test_a_folder_of_unusable_records_is_refused_with_the_first(folder):
    write(folder, 3, np.zeros((12, 1000)))
    with pytest.raises(InvalidReport, match=r"none of its 1 ECG .*00003_lr: all leads are flat"):
        load(folder, [record(3)])


def test_a_record_that_was_mended_is_found_beside_the_cached_ones(folder, tmp_path, beats, caplog):
    cache, records = tmp_path / "cache", [record(1), record(3)]
    write(folder, 3, np.zeros((12, 1000)))
    for _ in range(2):
        assert [each.ecg_id for each in load(folder, records, cache).records] == [1]
    assert caplog.text.count("all leads are flat") == 2
    write(folder, 3, samples(beats))
    found = load(folder, records, cache)
    assert [each.ecg_id for each in found.records] == [1, 3]
    np.testing.assert_array_equal(found.signals[0], found.signals[1])
