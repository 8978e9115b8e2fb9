import io
import json
from typing import cast

import pytest
from rich.console import Console

from cardex.api.case_sender import Sent
from cardex.api.client import Client
from cardex.api.pb.v1 import report_index_pb2 as pb
from cardex.cli.index import Source, run_index
from cardex.cli.indexing_place import IndexingPlace
from cardex.domain.errors import IndexMissing, InvalidReport, Unavailable

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
    place = IndexingPlace(reports.parent / "indexing", reports, merge=options["merge"])
    source = Source(reports=reports)
    assert run_index(cast(Client, client), source, place, console=console, **options) == 0
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


class FakeCaseClient(FakeClient):
    """Files cases one by one; goes away after `broken` of them, and knows no index in `gone`."""

    def __init__(self) -> None:
        super().__init__()
        self.filed: list[tuple[str, str]] = []
        self.begun = 0
        self.committed: list[str] = []
        self.answering = "reports_0"
        self.broken: int | None = None
        self.gone: set[str] = set()

    def begin_rebuild(self):
        self.begun += 1
        return pb.IndexInfo(name=f"reports_{self.begun}")

    def file_cases(self, sources, index=""):
        sent = Sent()
        for case, _ in sources:
            if index in self.gone:
                raise IndexMissing("gone")
            if self.broken is not None and len(self.filed) == self.broken:
                raise Unavailable("broken")
            self.filed.append((index, case.case_id))
            sent.cases += 1
            yield sent

    def commit_rebuild(self, name):
        self.committed.append(name)
        return pb.IndexInfo(name=name, report_count=2, case_count=3, model_version="m1")

    def index(self):
        return pb.IndexInfo(name=self.answering, report_count=2, model_version="m1")


@pytest.fixture
def cases(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text("case_id,report\na,sinus rhythm\nb,paced rhythm\nc,sinus rhythm\n")
    return path


def index_cases(client: FakeCaseClient, cases, *, merge: bool = False) -> tuple[int, str]:
    told = io.StringIO()
    place = IndexingPlace(cases.parent / "indexing", cases, merge=merge)
    status = run_index(
        cast(Client, client), Source(cases=cases), place, merge=merge, as_json=False,
        console=Console(file=told, width=200),
    )  # fmt: skip
    return status, told.getvalue()


def stop_after(count: int, client: FakeCaseClient, cases, *, merge: bool = False) -> None:
    """Let a call stop after some cases; the next one finds the client whole."""
    client.broken = count
    with pytest.raises(Unavailable):
        index_cases(client, cases, merge=merge)
    client.broken = None


def test_cases_are_filed_in_a_new_index_that_answers_at_the_end(cases):
    client = FakeCaseClient()
    status, told = index_cases(client, cases)
    assert status == 0
    assert client.filed == [("reports_1", "a"), ("reports_1", "b"), ("reports_1", "c")]
    assert client.committed == ["reports_1"]
    assert "2 reports of 3 cases in reports_1" in told


def test_a_merge_goes_into_the_index_that_answers(cases):
    client = FakeCaseClient()
    index_cases(client, cases, merge=True)
    assert [name for name, _ in client.filed] == ["", "", ""]
    assert (client.begun, client.committed) == (0, [])


def test_a_second_call_goes_on_where_the_first_stopped(cases):
    client = FakeCaseClient()
    stop_after(2, client, cases)
    _, told = index_cases(client, cases)
    assert "going on after 2 cases" in told
    assert client.filed == [("reports_1", "a"), ("reports_1", "b"), ("reports_1", "c")]
    index_cases(client, cases)
    assert client.begun == 2


def test_what_went_wrong_before_a_stop_is_told_at_the_end(cases):
    class Losing(FakeCaseClient):
        def file_cases(self, sources, index=""):
            for sent in super().file_cases(sources, index):
                first = self.filed[-1][1]
                if sent.cases == 1:
                    sent.without_ecg, sent.reasons = 1, [f"{first} is filed without its ECG"]
                yield sent

    client = Losing()
    stop_after(2, client, cases)
    status, told = index_cases(client, cases)
    assert status == 1
    assert "2 cases were filed without their ECG" in told
    assert "a is filed without its ECG" in told
    assert "c is filed without its ECG" in told


def test_a_table_with_a_wrong_row_is_refused_before_anything_is_begun(cases):
    cases.write_text(cases.read_text() + "d,paced rhythm\na,twice\n,none\n")
    client = FakeCaseClient()
    with pytest.raises(InvalidReport):
        index_cases(client, cases)
    assert (client.begun, client.filed) == (0, [])


def test_records_of_ptb_xl_whose_waveforms_are_missing_are_told(tmp_path):
    first, second = (f"records100/00000/{number:05}_lr" for number in (1, 2))
    (tmp_path / "ptbxl_database.csv").write_text(
        "ecg_id,patient_id,age,sex,report,scp_codes,strat_fold,recording_date,device,filename_lr\n"
        f"1,1,50,0,sinus rhythm,{{}},1,1984-11-09 09:17:34,AT-6,{first}\n"
        f"2,2,60,1,paced rhythm,{{}},1,1984-11-09 09:17:34,AT-6,{second}\n"
    )
    (tmp_path / "scp_statements.csv").write_text(",description\nSR,sinus rhythm\n")
    (tmp_path / "records100" / "00000").mkdir(parents=True)
    for suffix in (".hea", ".dat"):
        (tmp_path / f"{first}{suffix}").write_text("")
    told = io.StringIO()
    place = IndexingPlace(tmp_path / "indexing", tmp_path, merge=False)
    run_index(
        cast(Client, FakeCaseClient()), Source(ptbxl=tmp_path), place, merge=False, as_json=False,
        console=Console(file=told, width=200),
    )  # fmt: skip
    assert "1 of 2 records have no waveform" in told.getvalue()
    assert "cardex data ptbxl" in told.getvalue()


def test_a_merge_begins_anew_where_another_index_answers_by_now(cases):
    client = FakeCaseClient()
    stop_after(2, client, cases, merge=True)
    client.answering = "reports_9"
    index_cases(client, cases, merge=True)
    assert [case_id for _, case_id in client.filed[2:]] == ["a", "b", "c"]


def test_an_index_that_is_gone_before_anything_was_filed_is_begun_anew(cases):
    client = FakeCaseClient()
    stop_after(0, client, cases)
    client.gone = {"reports_1"}
    index_cases(client, cases)
    assert client.committed == ["reports_2"]


def test_an_index_that_is_gone_is_begun_anew(cases):
    client = FakeCaseClient()
    stop_after(2, client, cases)
    client.gone = {"reports_1"}
    index_cases(client, cases)
    assert client.filed[2:] == [("reports_2", "a"), ("reports_2", "b"), ("reports_2", "c")]
    assert client.committed == ["reports_2"]


def test_an_index_that_is_gone_before_its_first_case_is_begun_anew(cases):
    client = FakeCaseClient()
    stop_after(0, client, cases)
    client.gone = {"reports_1"}
    index_cases(client, cases)
    assert client.committed == ["reports_2"]


def test_a_new_index_that_is_gone_at_once_is_told(cases):
    client = FakeCaseClient()
    client.gone = {"reports_1"}
    with pytest.raises(IndexMissing):
        index_cases(client, cases)
    assert client.begun == 1


def test_another_table_is_another_indexing(cases):
    client = FakeCaseClient()
    stop_after(2, client, cases)
    cases.write_text("case_id,report\nx,sinus rhythm\n")
    index_cases(client, cases)
    assert client.filed[2:] == [("reports_2", "x")]


def test_cases_that_were_not_filed_are_told_and_the_status_says_so(cases):
    class Refusing(FakeCaseClient):
        def file_cases(self, sources, index=""):
            for sent in super().file_cases(sources, index):
                sent.refused, sent.reasons = 1, ["not filed: b: bad [id]"]
                yield sent

    status, told = index_cases(Refusing(), cases)
    assert status == 1
    assert "b: bad [id]" in told
