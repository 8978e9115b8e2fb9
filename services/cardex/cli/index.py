"""What `cardex index` does: sends reports or cases, and prints the index that they became."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console

from cardex.api.client import Client
from cardex.api.pb.v1 import report_index_pb2
from cardex.cli.indexing_place import IndexingPlace, Place
from cardex.cli.render import as_dict, progress_bar
from cardex.domain.errors import IndexMissing
from cardex.domain.reports import Report
from cardex.reports.case_source import CaseSource
from cardex.reports.cases_csv import read_cases
from cardex.reports.csv import read_reports
from cardex.reports.ptbxl import cases_of, distinct_reports


@dataclass(frozen=True, slots=True)
class Source:
    """What is indexed: one of the three.

    Attributes:
        ptbxl: folder in PTB-XL's layout; with waveforms its records become cases.
        cases: CSV file of cases.
        reports: CSV file of reports alone.
    """

    ptbxl: Path | None = None
    cases: Path | None = None
    reports: Path | None = None

    @property
    def path(self) -> Path:
        """The one that was given."""
        return self.ptbxl or self.cases or self.reports or Path()

    @property
    def has_cases(self) -> bool:
        """Whether there is more than reports: a table of cases, or waveforms."""
        waveforms = self.ptbxl is not None and any((self.ptbxl / "records100").glob("*/*.hea"))
        return self.cases is not None or waveforms

    def case_sources(self) -> Iterator[CaseSource]:
        """Yield the cases."""
        return read_cases(self.cases) if self.cases else cases_of(self.path)

    def distinct_reports(self) -> list[Report]:
        """Return the distinct reports."""
        return distinct_reports(self.ptbxl) if self.ptbxl else read_reports(self.path)


def run_index(
    client: Client,
    source: Source,
    place: IndexingPlace,
    *,
    merge: bool,
    as_json: bool,
    console: Console,
) -> int:
    """Send a source, print the index that it became, and return the exit status.

    Returns:
        0; 1 where a case was not filed, or only without its ECG.
    """
    with client:
        if source.has_cases:
            status, info = _index_cases(client, source, place, merge=merge, console=console)
        else:
            status = 0
            info = index_reports(client, source.distinct_reports(), merge=merge, console=console)
    if as_json:
        print(json.dumps(as_dict(info), indent=2))
    else:
        cases_there = f" of {info.case_count} cases" if info.case_count else ""
        console.print(
            f"{info.report_count} reports{cases_there} in {info.name}, model {info.model_version}"
        )
    return status


def index_reports(
    client: Client, reports: Sequence[Report], *, merge: bool, console: Console
) -> report_index_pb2.IndexInfo:
    """Send reports behind a progress bar; returns the index."""
    records = sum(report.record_count for report in reports)
    label = f"indexing {len(reports)} distinct reports of {records} records"
    with progress_bar(console) as progress:
        task = progress.add_task(label, total=len(reports))
        for update in client.upsert(reports, rebuild=not merge):
            progress.update(task, completed=update.stored)
    return update.index


def _index_cases(
    client: Client, source: Source, kept: IndexingPlace, *, merge: bool, console: Console
) -> tuple[int, report_index_pb2.IndexInfo]:
    """Send cases behind a progress bar, from where an earlier call stopped."""
    place = kept.read()
    if place is not None and merge and place.index != client.index().name:
        place = None  # what was filed then is in an index that answers no more
    resumed = place is not None
    total = _counted(source, console)  # and looked through, before hours of work
    if place is None:
        name = client.index().name if merge else client.begin_rebuild().name
        place = Place(name)
        kept.write(place)
    elif place.cases:
        console.print(f"going on after {place.cases} cases that an earlier call filed")
    filling = "" if merge else place.index
    try:
        done = _file(client, source, kept, place, filling, total=total, console=console)
        info = client.index() if merge else client.commit_rebuild(place.index)
    except IndexMissing:
        kept.remove()
        if not resumed:
            raise
        console.print("the index that an earlier call filled is gone: beginning anew")
        return _index_cases(client, source, kept, merge=merge, console=console)
    kept.remove()
    for reason in done.reasons:
        console.print(reason, markup=False, soft_wrap=True)
    lost = done.without_ecg + done.refused
    if lost:
        console.print(
            f"{done.without_ecg} cases were filed without their ECG, {done.refused} were not filed"
        )
    return int(bool(lost)), info


def _counted(source: Source, console: Console) -> int:
    """Look through all cases, and return how many there are.

    Raises:
        CardexError: if one cannot be, or its file is missing.
    """
    total = without = 0
    for one in source.case_sources():
        total += 1
        without += one.ecg is None
    if source.ptbxl is not None and without:
        console.print(
            f"{without} of {total} records have no waveform in {source.ptbxl}, and become cases"
            " without an ECG: `cardex data ptbxl` downloads what is missing",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    return total


def _file(
    client: Client,
    source: Source,
    kept: IndexingPlace,
    place: Place,
    index: str,
    *,
    total: int,
    console: Console,
) -> Place:
    """Send what is left, and return how far it came."""
    left = ((one.case, one.ecg) for one in islice(source.case_sources(), place.cases, None))
    done = place
    with progress_bar(console) as progress:
        task = progress.add_task("filing cases", total=total, completed=place.cases)
        for sent in client.file_cases(left, index):
            done = place.after(sent)
            kept.write(done)
            progress.update(task, completed=done.cases)
    return done
