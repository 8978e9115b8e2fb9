"""The example programs, as a user runs them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.helpers.real import ROOT, demo_data, dicom


def run(program: str, argument: Path, settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "examples" / program, argument],
        env={**os.environ, "CARDEX_GATEWAY_TARGET": settings.gateway_target},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_one_ecg_from_the_bedside_gets_its_reports(settings):
    done = run("bedside.py", dicom(), settings)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == "RESEARCH USE ONLY"
    assert len(lines) >= 3


def test_a_file_that_is_no_ecg_is_refused_with_the_reason(settings, tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"no ecg")
    done = run("bedside.py", tmp_path / "a.dcm", settings)
    assert done.returncode == 1
    assert done.stderr.startswith("NOT_AN_ECG: ")


def test_an_archive_gets_a_line_for_each_recording_and_a_bad_one_stops_no_other(settings, tmp_path):
    header = demo_data().cpsc[0]
    for path in (header, header.with_suffix(".mat"), dicom()):
        shutil.copy(path, tmp_path)
    (tmp_path / "broken.dcm").write_bytes(b"no ecg")
    done = run("archive.py", tmp_path, settings)
    assert done.returncode == 1, done.stderr
    lines = {line["file"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert set(lines) == {header.name, dicom().name, "broken.dcm"}
    assert lines.pop("broken.dcm")["error"] == "NOT_AN_ECG"
    assert all(line["text"] for line in lines.values())
