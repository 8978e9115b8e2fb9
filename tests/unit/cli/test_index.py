import io
import json
from typing import cast

import pytest
from rich.console import Console

from cardex.api.client import Client
from cardex.api.pb.v1 import report_index_pb2 as pb
from cardex.cli.index import run_index

INDEX = pb.IndexInfo(name="reports_1", model_version="m1", report_count=2)


class FakeClient:
    """Keeps the reports that it is sent."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.rebuild: bool | None = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def upsert(self, reports, *, rebuild):
        self.texts, self.rebuild = [report.text for report in reports], rebuild
        yield pb.UpsertReportsResponse(stored=1)
        yield pb.UpsertReportsResponse(stored=len(reports), committed=True, index=INDEX)


@pytest.fixture
def reports(tmp_path):
    path = tmp_path / "reports.csv"
    path.write_text("record_id,text\nr1,sinus rhythm\nr2,paced rhythm\n")
    return path


def index(reports, **options) -> tuple[FakeClient, str]:
    """Index the reports; returns the client and what the console says."""
    client, told = FakeClient(), io.StringIO()
    console = Console(file=told, width=200)
    run_index(cast(Client, client), None, reports, console=console, **options)
    return client, told.getvalue()


@pytest.mark.parametrize("merge", [True, False])
def test_the_reports_of_a_table_are_sent_and_the_index_is_told(reports, merge):
    client, told = index(reports, merge=merge, as_json=False)
    assert client.texts == ["sinus rhythm", "paced rhythm"]
    assert client.rebuild is not merge
    assert "2 reports in reports_1, model m1" in told


def test_the_index_is_json_where_asked_for(reports, capsys):
    index(reports, merge=False, as_json=True)
    assert json.loads(capsys.readouterr().out)["name"] == "reports_1"
