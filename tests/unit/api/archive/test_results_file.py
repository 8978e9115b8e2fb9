import json
from pathlib import Path

import pytest

from cardex.api.archive.manifest import Manifest, Scope
from cardex.api.archive.results import Result
from cardex.api.archive.results_file import ResultsFile, shown
from cardex.api.pb.v1 import job_pb2
from cardex.domain.errors import ConfigurationError, InvalidEcg
from cardex.domain.jobs import Question

SCOPE = Scope("/archive", Question(), "night.jsonl")
RESULTS = [
    Result("a", job_pb2.Answer(model_version="m"), None, "j-a", "1/a"),
    Result("b", None, InvalidEcg("too short", reason="DURATION", field="ecg"), "", "1/b"),
    Result("c\udcff", job_pb2.Answer(model_version="m"), None, "j-c", "1/c\udcff"),
]
PATHS = [result.path for result in RESULTS]


@pytest.fixture
def files(tmp_path):
    """Opens the results with their manifest."""

    def opened():
        manifest = Manifest(SCOPE, tmp_path / "manifest")
        try:
            return manifest, ResultsFile(tmp_path / "night.jsonl", manifest, PATHS)
        except BaseException:
            manifest.close()
            raise

    return opened


@pytest.fixture
def path(tmp_path):
    return tmp_path / "night.jsonl"


def written(files, count: int, noted: int) -> None:
    """Write results, of which only some are noted, as a kill would leave them."""
    manifest, results = files()
    with manifest, results:
        for result in RESULTS:
            if result.job_id:
                manifest.submitted(result.path, (1, 1), f"sha-{result.path}", result.job_id)
        for number, result in enumerate(RESULTS[:count]):
            end = results.write(result)
            if number < noted:
                entry = manifest.get(result.path)
                manifest.finish(result.path, entry.stamp, entry.sha256, result.outcome, end)


def outcomes(files) -> list[str]:
    manifest, results = files()
    with manifest, results:
        return [manifest.get(path).outcome for path in PATHS]


def test_a_result_is_a_line(files, path):
    written(files, 3, 3)
    answered, refused, odd = map(json.loads, path.read_text().splitlines())
    assert answered == {"file": "1/a", "job_id": "j-a", "answer": {"model_version": "m"}}
    assert refused["error"] == {"reason": "DURATION", "message": "too short", "field": "ecg"}
    assert odd["file"] == r"1/c\xff"


@pytest.mark.parametrize("noted", [0, 1, 2, 3])
def test_results_that_a_kill_left_unnoted_are_noted_by_the_next(files, path, noted):
    written(files, 3, noted)
    size = path.stat().st_size
    assert outcomes(files) == ["ANSWERED", "DURATION", "ANSWERED"]
    assert path.stat().st_size == size
    manifest, results = files()
    with manifest, results:
        assert manifest.get(PATHS[2]).end == size
        assert manifest.get(PATHS[2]).sha256 == f"sha-{PATHS[2]}"


def test_a_line_that_was_cut_off_is_removed_and_its_job_open(files, path):
    written(files, 3, 2)
    whole = path.read_bytes()
    second = whole.rindex(b"\n", 0, -1) + 1
    path.write_bytes(whole[:-1])
    assert outcomes(files) == ["ANSWERED", "DURATION", ""]
    assert path.read_bytes() == whole[:second]


def test_noted_results_that_the_disk_lost_are_open_again(files, path):
    written(files, 3, 3)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"\n") + 20])
    assert outcomes(files) == ["ANSWERED", "", ""]
    assert path.read_bytes() == whole[: whole.index(b"\n") + 1]


def test_results_that_are_gone_are_not_begun_anew(files, path):
    written(files, 3, 3)
    path.unlink()
    with pytest.raises(ConfigurationError, match="put the file back"):
        files()


def test_a_file_without_its_manifest_is_not_written_to(files, path):
    path.write_text("mine\n")
    with pytest.raises(ConfigurationError, match="give another --results"):
        files()
    assert path.read_text() == "mine\n"


def test_foreign_lines_are_named_and_kept(files, path):
    written(files, 3, 3)
    with path.open("a") as stream:
        stream.write("mine\n")
    with pytest.raises(ConfigurationError, match="no result"):
        files()
    assert path.read_text().endswith("mine\n")


def test_a_full_disk_is_named(files):
    manifest, results = files()
    with manifest, results, Path("/dev/full").open("wb", buffering=0) as full:
        kept, results._file = results._file, full
        with pytest.raises(ConfigurationError, match="No space left"):
            results.write(RESULTS[0])
        results._file = kept


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with (
        Manifest(SCOPE) as manifest,
        pytest.raises(ConfigurationError, match="cannot write the results"),
    ):
        ResultsFile(tmp_path / "none" / "r.jsonl", manifest, [])


def test_bytes_that_are_no_utf_8_are_shown():
    assert shown("ä/\udcff") == r"ä/\xff"
