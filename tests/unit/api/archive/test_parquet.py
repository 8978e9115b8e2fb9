import builtins
import json

import pytest

from cardex.api.archive import parquet as parquet_module
from cardex.api.archive.parquet import require_pyarrow, write_table
from cardex.api.archive.results import Result
from cardex.api.archive.results_file import described
from cardex.api.pb.v1 import job_pb2, report_pb2
from cardex.domain.errors import ConfigurationError, InvalidEcg

ANSWER = job_pb2.Answer(
    model_version="m1",
    index_name="reports_1",
    hits=[
        report_pb2.Hit(rank=1, score=0.5, match=-1.5, report={"report_id": "r1", "text": "AF"}),
        report_pb2.Hit(rank=2, score=0.0, report={"report_id": "r2", "text": "sinus"}),
    ],
    findings=[report_pb2.Finding(code="AFIB", share=0.75)],
    predictions=[report_pb2.Prediction(code="AFIB", probability=0.5)],
    warnings=[job_pb2.SignalWarning(code="MAINS", leads=["II"], message="50 Hz")],
    signal_quality=job_pb2.SignalQuality(index=0.5),
    draft=report_pb2.Draft(sentences=[{"text": "AF."}, {"text": "No more."}]),
)  # fmt: skip


@pytest.fixture
def table(tmp_path):
    """Makes a table of results; returns its rows and how many row groups it has."""

    def made(*results: Result):
        import pyarrow.parquet as pq

        lines = tmp_path / "night.parquet.jsonl"
        bodies = [{"file": r.path, "job_id": r.job_id, **described(r)} for r in results]
        lines.write_text("".join(f"{json.dumps(body)}\n" for body in bodies))
        write_table(lines, tmp_path / "night.parquet")
        file = pq.ParquetFile(tmp_path / "night.parquet")
        return file.read().to_pylist(), file.num_row_groups

    return made


def test_an_answer_is_a_flat_row(table):
    ((row,), _) = table(Result("a", ANSWER, None, "j1", "1/a"))
    assert row == {
        "file": "1/a",
        "job_id": "j1",
        "state": "ANSWERED",
        "error_reason": None,
        "error_message": None,
        "error_field": None,
        "model_version": "m1",
        "index_name": "reports_1",
        "from_cache": False,
        "quality_index": 0.5,
        "heart_rate_bpm": None,
        "warnings": ["MAINS"],
        "warning_messages": ["50 Hz"],
        "finding_codes": ["AFIB"],
        "finding_shares": [0.75],
        "prediction_codes": ["AFIB"],
        "prediction_probabilities": [0.5],
        "hit_report_ids": ["r1", "r2"],
        "hit_scores": [0.5, 0.0],
        "hit_matches": [-1.5, None],
        "hit_texts": ["AF", "sinus"],
        "draft": "AF. No more.",
    }


def test_failures_are_rows_with_their_reason(table):
    error = InvalidEcg("too short", reason="DURATION", field="ecg")
    (refused, failed), _ = table(
        Result("a", None, error, "", "a"), Result("b", None, error, "j2", "b")
    )
    assert (refused["state"], failed["state"]) == ("REFUSED", "FAILED")
    assert (refused["job_id"], refused["error_field"]) == (None, "ecg")
    assert (failed["error_reason"], failed["error_message"]) == ("DURATION", "too short")
    assert failed["hit_texts"] is None


def test_the_last_line_of_a_recording_holds_and_groups_are_written_as_they_fill(table, monkeypatch):
    monkeypatch.setattr(parquet_module, "ROW_GROUP", 10)
    names = [f"{number % 25}" for number in range(40)]
    results = [Result(n, job_pb2.Answer(model_version=f"{i}"), None, "j", n)
               for i, n in enumerate(names)]  # fmt: skip
    rows, groups = table(*results)
    assert {row["file"]: row["model_version"] for row in rows} == {
        name: str(number) for number, name in enumerate(names)
    }
    assert (len(rows), groups) == (25, 3)


def test_without_pyarrow_the_remedy_is_told(monkeypatch):
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(name=name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r"cardex\[parquet\]"):
        require_pyarrow()
