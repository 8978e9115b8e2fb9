"""The ECGs and reports that engines are asked about."""

import shutil

import numpy as np

from cardex.local_stack.dataset import DemoData
from cardex.reports.ptbxl import STATEMENTS, TABLE
from loadtest import gpu_sample
from loadtest.gpu_sample import demo_sample, filled, fold_sample, windows_of
from tests.helpers.real import dicom

ROW = '{0},{0}.0,"{1}","{{\'NORM\': 100.0}}",{2},records100/00000/{0:05d}_lr\n'


def ptbxl(folder, texts):
    folder.mkdir(exist_ok=True)
    rows = [ROW.format(number, text, 9) for number, text in enumerate(texts, start=1)]
    header = "ecg_id,patient_id,report,scp_codes,strat_fold,filename_lr\n"
    (folder / TABLE).write_text(header + "".join(rows))
    (folder / STATEMENTS).write_text(",description\nNORM,normal ECG\n")
    return folder


def test_a_record_of_ten_seconds_gives_ten_windows_that_differ(waveform, release):
    windows = list(windows_of(waveform))
    assert [window.signal.shape for window in windows] == [(12, 8000)] * 10
    starts = {window.signal[:, 0].tobytes() for window in windows}
    assert len(starts) == 10
    np.testing.assert_array_equal(windows[-1].signal, waveform.signal[:, -8000:])


def test_the_demos_data_gives_real_images_and_each_report_once(tmp_path, release, monkeypatch):
    texts = [f"befund {number % 30}" for number in range(60)]
    data = DemoData(ptbxl(tmp_path / "ptbxl", texts), dicom(), ())
    sample = demo_sample(release, data)
    assert sample.images.shape == (10, *release.spec().shape)
    assert sample.images.dtype == np.uint8
    assert len({image.tobytes() for image in sample.images}) == 10
    assert sample.tokens.shape[0] == 30
    monkeypatch.setattr(gpu_sample, "REPORTS", 12)
    fewer = demo_sample(release, data).tokens
    assert len({row.tobytes() for row in fewer}) == len(fewer) == 12


def test_ptbxl_gives_the_folds_ecgs_and_gallery(tmp_path, release, shared):
    folder = ptbxl(tmp_path / "ptbxl", ["sinusrhythmus", "linkstyp"])
    header = next((shared / "ptbxl" / "records100").rglob("*.hea"))
    target = folder / "records100" / "00000"
    target.mkdir(parents=True)
    for suffix in (".hea", ".dat"):
        shutil.copy(header.with_suffix(suffix), target / f"00001_lr{suffix}")
    text = (target / "00001_lr.hea").read_text().replace(header.stem, "00001_lr")
    (target / "00001_lr.hea").write_text(text)
    sample = fold_sample(release, folder, 9)
    assert (len(sample.images), len(sample.tokens)) == (1, 2)


def test_a_call_is_filled_from_the_first_again(sample):
    shapes = {"image": (4, 12, 1000, 1), "token_ids": (4, 128, 64)}
    call = filled(sample, shapes)
    assert {name: tensor.shape for name, tensor in call.items()} == shapes
    assert (call["image"].dtype, call["token_ids"].dtype) == (np.uint8, np.int32)
    np.testing.assert_array_equal(call["token_ids"].reshape(-1, 64)[100], sample.tokens[0])
    np.testing.assert_array_equal(call["image"], sample.images[:4])
