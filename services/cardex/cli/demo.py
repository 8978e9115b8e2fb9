"""The demo: real reports, real ECGs, every real part, on this machine."""

import time

from rich.console import Console

from cardex.api.client import Client, ecg_of_files
from cardex.cli.index import index_reports
from cardex.cli.render import show_answer
from cardex.domain.jobs import Question
from cardex.domain.settings import Settings
from cardex.local_stack.dataset import DemoData, fetch
from cardex.local_stack.stack import Stack
from cardex.reports.ptbxl import distinct_reports

QUERY = "atrial fibrillation with rapid ventricular response"


def run_demo(settings: Settings, console: Console) -> None:
    """Run the demo and stop everything again.

    Raises:
        CardexError: if data cannot be fetched or a part does not come up.
    """
    begun = time.monotonic()
    data = fetch(settings.data_dir / "data", console.print)
    with Stack(settings, on_progress=console.print) as stack:
        assert stack.endpoints is not None
        local = settings.model_copy(update={"gateway_target": stack.endpoints.gateway})
        with Client.from_settings(local) as client:
            _ensure_index(client, data, console)
            _ask(client, data, console)
            console.rule("reports by text")
            show_answer(console, QUERY, client.search(QUERY, 3))
            console.rule("the same ECG again")
            again = client.retrieve(ecg_of_files([data.dicom]), Question(3))
            show_answer(console, "pydicom waveform_ecg.dcm (STAT)", again.answer, shown=1)
    console.print(f"done in {time.monotonic() - begun:.0f} s; everything is stopped.")
    console.print("RESEARCH USE ONLY. `cardex up` serves until Ctrl-C.")


def _ensure_index(client: Client, data: DemoData, console: Console) -> None:
    """Index all reports unless the index of this model is there already."""
    info = client.info()
    if info.index_name and info.index_model_version == info.model_version:
        index = client.index()
        console.print(f"index {index.name}: {index.report_count} reports, from an earlier run")
        return
    index_reports(client, distinct_reports(data.ptbxl), merge=False, console=console)


def _ask(client: Client, data: DemoData, console: Console) -> None:
    console.rule("one STAT ECG: pydicom's 12-lead DICOM")
    stat = client.retrieve(ecg_of_files([data.dicom]), Question(3))
    show_answer(console, "waveform_ecg.dcm (STAT)", stat.answer)
    console.rule("ten routine ECGs: CPSC-2018")
    for result in client.submit_folder(*data.cpsc, question=Question(3)):
        if result.error:
            raise result.error
        if result.answer:
            show_answer(console, f"{result.name} (routine)", result.answer, shown=2)
