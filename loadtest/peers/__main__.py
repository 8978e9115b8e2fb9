"""`make bench-peers`: compares Cardex with other ways to serve the same work.

Every way answers the same ECGs, which no way has seen before, with the same model and reports, and
all answers are compared. One runs at a time, since each has all cores.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from cardex.domain.settings import load_settings
from cardex.local_stack.dataset import fetch
from cardex.reports.ptbxl import distinct_reports
from loadtest.ecgs import Ecgs
from loadtest.files import DicomFiles, WfdbFiles
from loadtest.peers.comparison import Source, compare, figures_of
from loadtest.peers.ways import CardexWay, peers
from loadtest.peers.work import load_work
from loadtest.report import publish

RECORDS = {"typed": 640, "WFDB": 640, "DICOM": 192}
ROUNDS = 3


def main() -> None:
    """Print the figures, and write them to loadtest/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--records", type=float, default=1.0, help="factor, for a quick look")
    options = parser.parse_args()
    settings = load_settings()
    data = fetch(settings.data_dir / "data", print)
    load_work()  # keeps the reports' embeddings, so that no peer computes them
    makers: dict[str, Source] = {
        "typed": Ecgs(data), "WFDB": WfdbFiles(data), "DICOM": DicomFiles(data)
    }  # fmt: skip
    sources = {
        kind: (source, max(16, round(RECORDS[kind] * options.records)))
        for kind, source in makers.items()
    }
    cardex = CardexWay(settings, distinct_reports(data.ptbxl))
    with TemporaryDirectory(prefix="cardex-peers-") as folder:
        runs = compare([cardex, *peers()], sources, options.rounds, Path(folder), print)
    publish("bench-peers", figures_of(runs, cardex.name), {})


if __name__ == "__main__":
    main()
