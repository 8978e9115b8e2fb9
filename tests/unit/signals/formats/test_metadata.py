import hashlib

import numpy as np
import pytest

from cardex.domain.ecg import RecordingMetadata
from cardex.domain.errors import InvalidEcg
from cardex.signals.formats.metadata import MAX_STATEMENTS, MAX_TEXT, recording_metadata, subject
from cardex.signals.readers import read
from tests.helpers.ecgs import dicom, ecg, wfdb_record
from tests.helpers.formats import edf, ishne, muse_pairs, one

KEY = b"a key of the site"


def hashed(patient: str, key: bytes = KEY) -> str:
    return hashlib.blake2b(patient.encode(), digest_size=16, key=key).hexdigest()


def test_a_subject_is_a_keyed_hash():
    assert subject(" 4711 ", KEY) == hashed("4711")
    assert subject("4711", KEY) != subject("4711", b"another key")
    assert len(subject("4711", KEY)) == 32


@pytest.mark.parametrize("patient", ["", " ", "X", "unknown", "0000", "Anonymous", "---"])
def test_nobody_has_no_subject(patient):
    assert subject(patient, KEY) == ""


def test_without_a_key_there_is_no_subject():
    assert subject("4711", b"") == ""


def test_a_long_key_is_a_key_too():
    assert len(subject("4711", b"k" * 200)) == 32
    assert subject("4711", b"k" * 200) != subject("4711", b"k" * 201)


def test_texts_are_cleaned_and_bounded():
    made = recording_metadata(
        device=("GE\x00", "GE", " MAC\n55 "),
        statements=["x" * 9999, "", "\x07 ok "] + ["y"] * 999,
    )
    assert made.device == "GE MAC 55"
    assert made.statements[:2] == ("x" * MAX_TEXT, "ok")
    assert len(made.statements) == MAX_STATEMENTS


def test_typed_samples_and_files_without_a_key_have_no_subject():
    assert read(dicom()).metadata.subject == ""


def test_the_metadata_of_a_dicom():
    made = read(dicom(), subject_key=KEY).metadata
    assert made.device == "Mortara Instrument, Inc. el250"
    assert made.recorded_at == "2013-01-25T10:59:19"
    assert made.statements == ("RITMO SINUSALE", "ECG NORMALE")
    assert made.subject


def test_the_metadata_of_a_muse_file():
    muse, dicom_file = muse_pairs()["guangxi_teaching_sinus_rhythm"]
    assert read(one(muse), subject_key=KEY).metadata.subject == ""  # its id is all zeros
    made = read(one(muse.replace(b">00000000<", b">4711<")), subject_key=KEY).metadata
    assert made.recorded_at == "2024-01-01T10:35:17"
    assert made.device == "MAC P"
    assert len(made.statements) == 3
    assert made.subject == hashed("4711")
    assert read(one(dicom_file), subject_key=KEY).metadata.device == "GE Healthcare MAC P"


def test_the_metadata_of_an_aecg_and_of_an_scp(shared):
    formats = shared / "formats"
    made = [
        read(one((formats / name).read_bytes()), subject_key=KEY).metadata
        for name in ("fda_aecg_subject1_0.xml", "scp_example.scp")
    ]
    assert [each.subject for each in made] == [hashed("subject1"), hashed("SBJ-123")]
    assert made[0].recorded_at[:19] == made[1].recorded_at[:19] == "2002-11-22T09:10:00"


def test_the_metadata_of_a_philips_file(shared):
    content = (shared / "formats" / "philips_sierra_1_04.xml").read_bytes()
    made = read(one(content), subject_key=KEY).metadata
    assert made.device == "Philips Medical Products PageWriter Touch"
    assert made.statements[0].startswith("SINUS RHYTHM")


def test_the_metadata_of_an_edf():
    assert read(one(edf(ecg(), code="4711")), subject_key=KEY).metadata == RecordingMetadata(
        device="CART 7", recorded_at="2021-03-05T14:30:15", subject=hashed("4711")
    )


def test_the_metadata_of_an_ishne_file_have_no_name():
    made = read(one(ishne(ecg(), patient="4711")), subject_key=KEY).metadata
    assert made.recorded_at == "2021-03-05T14:30:15"
    assert made.subject == hashed("4711")
    assert "Family" not in repr(made)


def test_the_metadata_of_a_wfdb_record(tmp_path):
    header, signals = wfdb_record(tmp_path, ecg())
    first, _, rest = header.content.partition(b"\n")
    content = first + b" 14:30:15 05/03/2021\n" + rest
    content += b"# Device: Cart 7\n# Patient ID: 4711\n# Name: Jane Doe\n# Dx: 426177001\n"
    made = read((type(header)(header.name, content), signals), subject_key=KEY).metadata
    assert made == RecordingMetadata("Cart 7", "2021-03-05T14:30:15", (), hashed("4711"))


def test_one_patient_has_one_subject_over_formats():
    subjects = {
        read(one(content), subject_key=KEY).metadata.subject
        for content in (edf(ecg(), code="4711"), ishne(ecg(), patient="4711"))
    }
    assert len(subjects) == 1


@pytest.mark.parametrize("name", ["Doe^Jane", "DOE"])
def test_an_error_does_not_quote_the_patient(tmp_path, name):
    header, signals = wfdb_record(tmp_path, ecg())
    renamed = type(header)("x.hea", header.content.replace(b"rec.dat", f"{name}.dat".encode()))
    muse = muse_pairs()["synthetic_muse"][0]
    damaged = [
        (renamed, signals),
        one(muse.replace(b"<LeadID>I</LeadID>", f"<LeadID>{name}</LeadID>".encode())),
        one(muse.replace(b"MICROVOLTS", name.encode())),
        one(muse.replace(b"<WaveFormData>", f"<WaveFormData>{name}".encode())),
        one(edf(ecg()).replace(b"mV      ", f"{name:8}".encode())),
    ]
    for parts in damaged:
        with pytest.raises(InvalidEcg) as caught:
            read(parts)
        assert name not in str(caught.value)
        cause = caught.value.__cause__
        assert cause is None or name not in str(cause)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_signal_is_the_same_with_a_key():
    np.testing.assert_array_equal(read(dicom(), subject_key=KEY).signal, read(dicom()).signal)


def test_pydicom_logs_nothing_of_a_file(caplog):
    import logging

    with caplog.at_level(logging.DEBUG):
        logging.getLogger("pydicom").warning("Doe^Jane")
        logging.getLogger("pydicom").error("Doe^Jane")
    assert "Doe" not in caplog.text
