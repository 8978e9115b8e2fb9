"""What `cardex index` does: sends reports to the gateway and prints the index they became."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cardex.api.client import Client
from cardex.api.pb.v1 import report_index_pb2
from cardex.cli.render import as_dict, progress_bar
from cardex.domain.reports import Report
from cardex.reports.csv import read_reports
from cardex.reports.ptbxl import distinct_reports


def run_index(
    client: Client,
    ptbxl: Path | None,
    reports: Path | None,
    *,
    merge: bool,
    as_json: bool,
    console: Console,
) -> None:
    """Send the reports of a folder or CSV, and print the index they became."""
    with client:
        found = distinct_reports(ptbxl) if ptbxl else read_reports(reports or Path())
        info = index_reports(client, found, merge=merge, console=console)
    if as_json:
        print(json.dumps(as_dict(info), indent=2))
    else:
        console.print(f"{info.report_count} reports in {info.name}, model {info.model_version}")


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
