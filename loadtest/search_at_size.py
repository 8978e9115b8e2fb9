"""`make bench-search`: measures the report index in a real Milvus server by its size and kind.

The reports have embeddings between those of real ones that are alike, the questions between those
of real ECGs. `ReportIndex` stores and searches; the vector index is built anew for each trial.
Milvus listens on every address, so it runs, with this program, in a network of their own
(`unshare -rn`).
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from pymilvus import MilvusClient

from cardex.api.convert.ecg import from_payload, to_payload
from cardex.domain.ecg import Embedding
from cardex.domain.index import IndexInfo
from cardex.domain.jobs import DEFAULT_TOP_K, Priority
from cardex.domain.reports import Report
from cardex.domain.settings import Settings, load_settings
from cardex.inference.repository import newest
from cardex.local_stack.dataset import DemoData, fetch
from cardex.reports.ptbxl import distinct_reports
from cardex.retrieval.draft import VOTERS
from cardex.signals.images import image_of
from cardex.signals.readers import read
from cardex.stores.milvus import connect
from cardex.stores.report_index import ReportIndex
from cardex.stores.vector_index import KINDS, Kind, cells_for, kind_of
from loadtest.corpus import between, copies, exact_scores, recall
from loadtest.files import WfdbFiles
from loadtest.milvus_server import MilvusServer, milvus_server
from loadtest.own_network import in_own_network
from loadtest.peers.work import OnnxEncoder, report_embeddings
from loadtest.report import publish

SIZES = (100_000, 1_000_000)
QUESTIONS = 512
BATCH = 32
CHUNK = 5_000
INDEXED_WITHIN_S = 3_600.0
OWN = tuple(KINDS)
TRIAL = "trial"
"""The key of `KINDS` that a trial's parameters stand under."""
AIMS = {"recall@10": "at least 0.95", "p99 of one, ms": "at most 25"}


@dataclass(frozen=True, slots=True)
class Trial:
    """One vector index, and the ways to search it.

    Attributes:
        kind: of index, as Milvus calls it.
        build: its parameters.
        searches: parameters of each way to search.
    """

    kind: str
    build: dict[str, int]
    searches: tuple[dict[str, int], ...]


def trials(count: int) -> list[Trial]:
    """Return what is tried for so many reports; first of each kind what Cardex does itself.

    The very first is Cardex's default, so that the index is there already.
    """
    own = {name: kind_of(name, cells_for(name, count)) for name in OWN}
    cells, graph = own["IVF_FLAT"].build["nlist"], own["HNSW"].build
    probed = [own["IVF_FLAT"].search["nprobe"], *(max(1, cells // n) for n in (64, 32, 16, 4))]
    return [
        Trial("IVF_FLAT", {"nlist": cells}, tuple({"nprobe": n} for n in dict.fromkeys(probed))),
        Trial("FLAT", own["FLAT"].build, (own["FLAT"].search,)),
        Trial("HNSW", graph, (own["HNSW"].search, {"ef": 64}, {"ef": 1024})),
        Trial("HNSW", graph | {"M": 32}, ({"ef": 256}, {"ef": 1024})),
    ]


def main() -> None:
    """Print the figures, and write them to loadtest/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, nargs="+", default=SIZES)
    parser.add_argument("--kinds", nargs="+", choices=OWN, default=OWN)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = load_settings()
    material = _material(settings, fetch(settings.data_dir / "data", print))
    if not options.inside:
        in_own_network("loadtest.search_at_size")  # only now: the data may have had to be fetched
    for count in options.reports:
        tried = [trial for trial in trials(count) if trial.kind in options.kinds]
        figures: dict[str, float] = {}
        for name, value in _at_size(material, count, tried):
            figures[name] = value
            print(f"{count:,} reports, {name}: {value:.3g}", flush=True)
        aims = {name: AIMS[last] for name in figures if (last := name.split(": ")[-1]) in AIMS}
        publish(f"bench-search-{count}", figures, aims)


@dataclass(frozen=True, slots=True)
class Material:
    """What reports and questions are made of.

    Attributes:
        reports: the real reports.
        embeddings: theirs, (reports, dimension).
        ecgs: embeddings of real ECGs, (ECGs, dimension).
    """

    reports: list[Report]
    embeddings: Embedding
    ecgs: Embedding


def _material(settings: Settings, data: DemoData) -> Material:
    reports = distinct_reports(data.ptbxl)
    encoder = OnnxEncoder(newest(settings.model_repository))
    (model,) = encoder.models()
    inputs = (from_payload(to_payload(ecg)) for ecg in WfdbFiles(data).take(128))
    images = np.stack([image_of(read(each), model.image_spec) for each in inputs])
    return Material(
        reports,
        report_embeddings(encoder, reports, settings.data_dir / "data" / "bench"),
        encoder.embed_images(model, images, Priority.ROUTINE),
    )


def _at_size(material: Material, count: int, tried: Sequence[Trial]) -> Iterator[tuple[str, float]]:
    """Yield the figures of all trials with so many reports, by name."""
    corpus = between(material.embeddings, count, seed=0)
    questions = between(material.ecgs, QUESTIONS, seed=1)
    exact = exact_scores(corpus, questions, DEFAULT_TOP_K)
    with (
        TemporaryDirectory(prefix="cardex-milvus-") as folder,
        milvus_server(Path(folder)) as server,
    ):
        store = ReportIndex(server.uri)
        start = time.perf_counter()
        index = _filled(store, material.reports, corpus)
        stored = time.perf_counter()
        yield "stored: reports/s", count / (stored - start)
        index = replace(store.switch(index), kind=TRIAL)
        yield "from the last report to the first answer: s", time.perf_counter() - stored
        built = ("IVF_FLAT", kind_of("IVF_FLAT", index.cells).build)
        for trial in tried:
            label = " ".join([trial.kind, *(f"{key} {n}" for key, n in trial.build.items())])
            if built != (trial.kind, trial.build):
                yield f"{label}: build, s", _build(server, index, trial)
                built = trial.kind, trial.build
            yield f"{label}: memory, GB", server.resident_gb()
            for search in trial.searches:
                KINDS[TRIAL] = Kind(trial.build, search)
                way = " ".join([label, *(f"{key} {n}" for key, n in search.items())])
                for name, value in _searched(store, index, questions, exact).items():
                    yield f"{way}: {name}", value


def _filled(store: ReportIndex, reports: list[Report], corpus: Embedding) -> IndexInfo:
    """Return a new index with all of the corpus, which does not answer yet."""
    index = store.create("bench", corpus.shape[1])
    for first in range(0, len(corpus), CHUNK):
        rows = corpus[first : first + CHUNK]
        store.upsert(index, copies(reports, first, len(rows)), rows)
    return index


def _build(server: MilvusServer, index: IndexInfo, trial: Trial) -> float:
    """Build the vector index of a trial in place of the one before, load it, return the seconds."""
    client = connect(server.uri, timeout_s=60.0)
    client.release_collection(index.name)
    client.drop_index(index.name, "embedding")
    params = client.prepare_index_params()
    params.add_index(
        "embedding", index_type=trial.kind, metric_type="IP", params={"params": trial.build}
    )
    start = time.perf_counter()
    client.create_index(index.name, params, sync=False)
    while not _is_indexed(client, index):
        if time.perf_counter() - start > INDEXED_WITHIN_S:
            raise SystemExit(f"{trial.kind} is not built after {INDEXED_WITHIN_S:g} s")
        time.sleep(0.5)
    seconds = time.perf_counter() - start
    client.load_collection(index.name, timeout=600.0)
    client.close()
    return seconds


def _is_indexed(client: MilvusClient, index: IndexInfo) -> bool:
    described = client.describe_index(index.name, "embedding")
    return described["state"] == "Finished" and not described["pending_index_rows"]


def _searched(
    store: ReportIndex, index: IndexInfo, questions: Embedding, exact: NDArray[np.float32]
) -> dict[str, float]:
    """Search one question at a time, then `BATCH` at a time, for as many reports as Cardex does."""
    for question in questions[:16]:
        store.search(index, question[None], VOTERS)
    alone, found = _timed(store, index, questions, 1)
    together, _ = _timed(store, index, questions, BATCH)
    one, many = (np.percentile(taken, [50, 99]) * 1000 for taken in (alone, together))
    return {
        "recall@10": recall(found, exact),
        "p50 of one, ms": one[0],
        "p99 of one, ms": one[1],
        f"p50 of {BATCH}, ms": many[0],
        f"p99 of {BATCH}, ms": many[1],
    }


def _timed(
    store: ReportIndex, index: IndexInfo, questions: Embedding, batch: int
) -> tuple[list[float], NDArray[np.float32]]:
    """Return the seconds of each call, and the highest scores found: (questions, 10)."""
    taken, scores = [], []
    for first in range(0, len(questions), batch):
        start = time.perf_counter()
        found = store.search(index, questions[first : first + batch], VOTERS)
        taken.append(time.perf_counter() - start)
        scores += [[match.score for match in matches[:DEFAULT_TOP_K]] for matches in found]
    return taken, np.array(scores, dtype=np.float32)


if __name__ == "__main__":
    main()
