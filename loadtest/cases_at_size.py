"""`make bench-cases`: measures what cases cost, with 100,000 of them in a real Milvus server.

The whole way runs, from the gateway's socket and back. Reports and ECGs have embeddings between
those of real ones that are alike. The ways of asking take turns, each with ECGs that no cache
knows, so that a noisy machine is as noisy for all. Milvus listens on every address, so all runs in
a network of its own.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cardex.api.client import Client
from cardex.api.convert.ecg import from_payload, to_payload
from cardex.domain.cases import Case, CaseFilter, FiledCase, Nearness, Sex
from cardex.domain.ecg import Embedding
from cardex.domain.index import IndexInfo
from cardex.domain.jobs import Priority, Question
from cardex.domain.reports import Report, Statement
from cardex.domain.settings import Settings, load_settings
from cardex.inference.repository import newest
from cardex.local_stack.dataset import DemoData, fetch
from cardex.local_stack.stack import Stack
from cardex.reports.ptbxl import distinct_reports
from cardex.retrieval.fusion import VOTERS
from cardex.signals.images import image_of
from cardex.signals.readers import read
from cardex.stores.case_index import CaseRow
from cardex.stores.report_index import ReportIndex
from loadtest.corpus import between, copies, exact_scores, recall
from loadtest.ecgs import Ecgs
from loadtest.milvus_server import milvus_server
from loadtest.own_network import in_own_network
from loadtest.peers.work import OnnxEncoder, report_embeddings
from loadtest.report import publish

CASES, TEXTS = 100_000, 45_000
QUESTIONS = 150
BASE = 512
CHUNK = 2_000
WAYS = {
    "REPORT": Question(10, by=Nearness.REPORT),
    "ECG": Question(10, by=Nearness.ECG),
    "BOTH": Question(10, by=Nearness.BOTH),
    "BOTH, women of 40 to 60": Question(
        10, by=Nearness.BOTH, filter=CaseFilter(min_age=40, max_age=60, sex=Sex.FEMALE)
    ),
    "BOTH, one case in 500": Question(
        10, by=Nearness.BOTH, filter=CaseFilter(with_codes=("RARE",))
    ),
}
AIMS = {"p50 of BOTH over that of REPORT": "at most 1.3"}


def main() -> None:
    """Print the figures, and write them to loadtest/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = load_settings()
    data = fetch(settings.data_dir / "data", print)
    if not options.inside:
        in_own_network("loadtest.cases_at_size")  # only now: the data may have had to be fetched
    with _filled(settings, data, options.cases) as (client, figures):
        figures.update(_asked(client, data))
    publish("bench-cases", figures, AIMS)


@contextmanager
def _filled(
    settings: Settings, data: DemoData, count: int
) -> Iterator[tuple[Client, dict[str, float]]]:
    """Run a stack on a Milvus server with so many cases; yields its client and first figures."""
    encoder = OnnxEncoder(newest(settings.model_repository))
    (model,) = encoder.models()
    reports = distinct_reports(data.ptbxl)
    texts = report_embeddings(encoder, reports, settings.data_dir / "data" / "bench")
    inputs = (from_payload(to_payload(ecg)) for ecg in Ecgs(data, seed=7).take(BASE))
    images = np.stack([image_of(read(each), model.image_spec) for each in inputs])
    ecgs = encoder.embed_images(model, images, Priority.ROUTINE)
    with (
        TemporaryDirectory(prefix="cardex-cases-") as folder,
        milvus_server(Path(folder) / "milvus") as server,
    ):
        store = ReportIndex(server.uri)
        start = time.perf_counter()
        index = store.create(model.version, model.dimension)
        shown = min(TEXTS, count)
        _store_reports(store, index, reports, between(texts, shown, seed=0))
        corpus = between(ecgs, count, seed=1)
        _store_cases(store, index, corpus, shown)
        index = store.switch(index)
        figures = {
            "cases": float(count),
            "texts": float(shown),
            "stored: cases/s": count / (time.perf_counter() - start),
            f"recall@{VOTERS} of cases": _recall(store, index, corpus, between(ecgs, 256, seed=2)),
        }
        local = settings.model_copy(
            update={"data_dir": Path(folder) / "stack", "milvus_uri": server.uri}
        )
        with Stack(local) as stack:
            assert stack.endpoints is not None
            target = local.model_copy(update={"gateway_target": stack.endpoints.gateway})
            with Client.from_settings(target) as client:
                yield client, figures


def _store_reports(
    store: ReportIndex, index: IndexInfo, reports: list[Report], embeddings: Embedding
) -> None:
    for first in range(0, len(embeddings), CHUNK):
        rows = embeddings[first : first + CHUNK]
        store.upsert(index, copies(reports, first, len(rows)), rows)


def _store_cases(store: ReportIndex, index: IndexInfo, corpus: Embedding, texts: int) -> None:
    for first in range(0, len(corpus), CHUNK):
        rows = [
            CaseRow(FiledCase(_case(number), str(number % texts)), corpus[number])
            for number in range(first, min(first + CHUNK, len(corpus)))
        ]
        store.cases.upsert(index, rows)


def _case(number: int) -> Case:
    codes = ("NORM", "SR", *(("RARE",) if number % 500 == 0 else ()))
    return Case(
        f"case-{number}",
        "",
        age=number % 95,
        sex=(Sex.FEMALE, Sex.MALE)[number // 95 % 2],
        month=f"20{number % 20:02}-0{1 + number % 9}",
        device=f"cart {number % 12}",
        statements=tuple(map(Statement, codes)),
        has_ecg=True,
    )


def _recall(store: ReportIndex, index: IndexInfo, corpus: Embedding, asked: Embedding) -> float:
    """Return the share of the nearest cases that a search finds."""
    found = np.array(
        [[match.similarity for match in row] for row in store.cases.search(index, asked, VOTERS)],
        dtype=np.float32,
    )
    return recall(found, exact_scores(corpus, asked, VOTERS))


def _asked(client: Client, data: DemoData) -> dict[str, float]:
    """Ask in all ways in turn, and return what each took."""
    ecgs = iter(Ecgs(data, seed=11, kinds=4_000).take(QUESTIONS * len(WAYS) + 40))
    for _ in range(4):
        for question in WAYS.values():
            client.retrieve(next(ecgs), question)
    taken: dict[str, list[float]] = defaultdict(list)
    for _ in range(QUESTIONS):
        for way, question in WAYS.items():
            ecg = next(ecgs)
            start = time.perf_counter()
            answer = client.retrieve(ecg, question).answer
            taken[way].append(time.perf_counter() - start)
            assert answer.hits
    found = {}
    for way, seconds in taken.items():
        p50, p99 = np.percentile(seconds, [50, 99]) * 1000
        found |= {f"{way}: p50 ms": p50, f"{way}: p99 ms": p99}
    report = found["REPORT: p50 ms"]
    return found | {
        f"p50 of {way} over that of REPORT": found[f"{way}: p50 ms"] / report
        for way in WAYS
        if way != "REPORT"
    }


if __name__ == "__main__":
    main()
