"""Workers die and stand still while they file cases: each case is there once, and counted once."""

import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from cardex.api.case_sender import Sent
from cardex.api.client import Client
from cardex.domain.cases import Case
from cardex.reports.ptbxl import read_records
from cardex.retrieval.dependencies import assemble
from tests.fault.test_kills import kill
from tests.helpers.stack import running_stack
from tests.helpers.waiting import until

COUNT = 300
TEXTS = 7
"""So few that every batch of a worker changes reports that others change too."""
FAULTS = 6


@pytest.fixture(autouse=True)
def leases(monkeypatch):
    """Let leases be short, so that jobs of the lost workers wait again soon."""
    monkeypatch.setenv("CARDEX_LEASE_S", "2.0")
    monkeypatch.setenv("CARDEX_LATCH_S", "1.0")


def cases(shared: Path) -> list[tuple[Case, Path]]:
    found: list[tuple[Case, Path]] = []
    for record in read_records(shared / "ptbxl"):
        path = shared / "ptbxl" / f"{record.path}.hea"
        if record.text and path.is_file():
            number = len(found)
            found.append((Case(f"case-{number}", f"text number {number % TEXTS}"), path))
        if len(found) == COUNT:
            break
    return found


def test_cases_are_filed_once_whatever_becomes_of_the_workers(shared, tmp_path):
    archive = cases(shared)
    with (
        running_stack(tmp_path / "data", routine_workers=2) as (stack, settings),
        Client.from_settings(settings) as client,
    ):
        index = client.begin_rebuild()
        told: list[Sent] = []
        sending = threading.Thread(
            target=lambda: told.extend(
                replace(sent) for sent in client.file_cases(archive, index.name)
            )
        )
        sending.start()
        for number in range(FAULTS):
            name = f"worker-routine-{1 + number % 2}"
            until(lambda: not sending.is_alive() or _filed(settings) > 0)
            if number % 3 == 2:
                _stand_still(stack.processes[name])
            else:
                kill(stack, name)
            time.sleep(0.5)
            stack.tend()
        sending.join(300.0)
        assert not sending.is_alive()
        assert told[-1].cases == COUNT
        assert (told[-1].without_ecg, told[-1].refused) == (0, 0), told[-1].reasons
        client.commit_rebuild(index.name)
        _check(settings, archive)


def _filed(settings) -> int:
    reports = assemble(settings).reports
    return reports.cases.count(reports.current())


def _stand_still(part) -> None:
    """Stop a worker for longer than its jobs' leases, and let it go on."""
    assert part.process is not None
    part.process.send_signal(signal.SIGSTOP)
    time.sleep(4.0)
    part.process.send_signal(signal.SIGCONT)


def _check(settings, archive) -> None:
    """Compare reports with cases: every case once, every report with just its cases."""
    store = assemble(settings).reports
    index = store.current()
    filed = [one for page, _ in store.cases.embedded_pages(index) for one in page]
    assert Counter(one.case.case_id for one in filed) == Counter(
        case.case_id for case, _ in archive
    )
    assert all(one.case.has_ecg for one in filed)
    assert store.cases.traces(index, [one.case.case_id for one in filed]).keys() == {
        one.case.case_id for one in filed
    }
    by_report = Counter(one.report_id for one in filed)
    reports = [report for page in store.pages(index) for report in page]
    assert {report.report_id: report.record_count for report in reports} == by_report
    for report in reports:
        own = {one.case.case_id for one in filed if one.report_id == report.report_id}
        assert set(report.record_ids) == own
