import os

import numpy as np
import pytest

from cardex.api.archive.results import result_of_job
from cardex.api.client import Client, ecg_of_files, ecg_of_samples
from cardex.api.convert.ecg import from_payload, to_payload
from cardex.api.pb.v1 import job_pb2
from cardex.domain.ecg import LEADS, TypedSamples
from cardex.domain.errors import (
    ConfigurationError,
    InvalidEcg,
    JobCancelled,
    PayloadTooLarge,
)
from tests.helpers.ecgs import DICOM, dicom


def test_a_single_file_is_its_bytes():
    assert from_payload(to_payload(ecg_of_files([DICOM]))) == dicom()


def test_the_other_files_of_a_recording_are_companions(tmp_path):
    for name in ("a.hea", "a.dat", "a.mat"):
        (tmp_path / name).write_text(name)
    file = ecg_of_files([tmp_path / name for name in ("a.hea", "a.dat", "a.mat")]).file
    assert (file.name, file.content) == ("a.hea", b"a.hea")
    assert [(other.name, other.content) for other in file.companions] == [
        ("a.dat", b"a.dat"),
        ("a.mat", b"a.mat"),
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InvalidEcg, match=r"none\.dcm: No such file"):
        ecg_of_files([tmp_path / "none.dcm"])


def test_an_array_is_typed_samples():
    signal = np.arange(24, dtype=np.float64).reshape(12, 2)
    found = from_payload(to_payload(ecg_of_samples(signal, 500)))
    assert isinstance(found, TypedSamples)
    assert (found.leads, found.rate, found.unit) == (LEADS, 500.0, "mV")
    np.testing.assert_array_equal(found.values, signal)


@pytest.mark.parametrize("shape", [(11, 5), (12,), (5, 12)])
def test_an_array_of_another_shape_is_refused_with_the_shape_it_needs(shape):
    with pytest.raises(InvalidEcg, match=r"must be \(12, samples\)") as caught:
        ecg_of_samples(np.zeros(shape), 500)
    assert caught.value.field == "ecg.samples.leads"


def test_a_folder_that_is_not_there_or_empty_is_refused_before_anything_is_sent(tmp_path):
    with Client("127.0.0.1:1") as client:
        with pytest.raises(InvalidEcg, match=r"none does not exist"):
            next(client.submit_folder(tmp_path / "none"))
        with pytest.raises(InvalidEcg, match="no ECG file there"):
            next(client.submit_folder(tmp_path))


def test_a_recording_that_no_message_carries_is_refused_with_both_sizes(tmp_path):
    (tmp_path / "large.dcm").write_bytes(bytes(17 * 1024 * 1024))
    with (
        Client("127.0.0.1:1") as client,
        pytest.raises(PayloadTooLarge, match=r"large\.dcm has 17825813 bytes: at most 16777216"),
    ):
        client.retrieve(tmp_path / "large.dcm")


def test_a_name_that_is_no_utf_8_is_sent_all_the_same(tmp_path):
    path = tmp_path / os.fsdecode(b"a\xff.dcm")
    path.write_bytes(b"an ECG")
    assert ecg_of_files([path]).file.name == "a?.dcm"


def test_samples_that_are_no_numbers_are_refused():
    with pytest.raises(InvalidEcg, match="no array of numbers"):
        ecg_of_samples([["a"], ["b"]], 500)


def test_a_wrong_setting_beside_the_arguments_is_named(monkeypatch):
    monkeypatch.setenv("CARDEX_RATE_PER_S", "fast")
    with pytest.raises(ConfigurationError, match="CARDEX_RATE_PER_S"):
        Client("127.0.0.1:1")


def test_a_job_becomes_a_result_with_the_class_of_its_error():
    error = job_pb2.JobError(reason="DURATION", message="too short", kind="InvalidEcg")
    failed = result_of_job("1/a", job_pb2.Job(job_id="j", state="JOB_STATE_FAILED", error=error))
    assert isinstance(failed.error, InvalidEcg)
    cancelled = result_of_job("1/a", job_pb2.Job(job_id="j", state="JOB_STATE_CANCELLED"))
    assert isinstance(cancelled.error, JobCancelled)
    answered = result_of_job(
        "1/a", job_pb2.Job(job_id="j", answer=job_pb2.Answer(model_version="m"))
    )
    assert answered.answer is not None
    assert (answered.answer.model_version, answered.error, answered.job_id) == ("m", None, "j")
    assert (answered.name, answered.path) == ("a", "1/a")
