"""Triton answers as the graphs do alone, on real ECGs and real reports."""

import itertools
import json

import numpy as np
import pytest

from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.jobs import Priority
from cardex.evaluation.embedder import OnnxEmbedder
from cardex.inference.repository import newest
from cardex.inference.statements import Predictor, served_calibration
from cardex.inference.triton_encoder import TritonEncoder
from cardex.retrieval.dependencies import triton_server
from cardex.retrieval.draft import VOTERS
from cardex.stores.milvus import connect
from cardex.stores.report_index import ALIAS
from tests.helpers.real import ROOT, cpsc_images, reports
from tests.helpers.stack import cpsc_ecgs

# Batches of other sizes add up float32 sums in another order; nothing else may differ.
TOLERANCE = 1e-5
MATCH_TOLERANCE = 1e-3
"""Log-odds reach some tens, so the same relative error is larger."""


@pytest.fixture(scope="module")
def encoder(settings):
    return TritonEncoder(triton_server(settings), settings.model_repository)


@pytest.fixture(scope="module")
def graphs():
    return OnnxEmbedder(ROOT / "model_repository")


@pytest.fixture(scope="module")
def images():
    return cpsc_images(newest(ROOT / "model_repository").spec())


@pytest.fixture(scope="module")
def texts():
    return [report.text for report in reports(120)]


@pytest.mark.parametrize("priority", Priority)
def test_images(encoder, graphs, images, priority):
    (model, *_) = encoder.models()
    many = np.repeat(images, 5, axis=0)  # more than a call takes
    found = encoder.embed_images(model, many, priority)
    np.testing.assert_allclose(found, graphs.images(many), atol=TOLERANCE)


def test_reports(encoder, graphs, texts):
    (model, *_) = encoder.models()
    found = encoder.embed_texts(model, texts, Priority.ROUTINE)
    np.testing.assert_allclose(found, graphs.texts(texts), atol=TOLERANCE)


def test_matches(encoder, graphs, images, texts):
    (model, *_) = encoder.models()
    found = encoder.match(model, images[:2], [texts[:7], texts[7:24]], Priority.STAT)
    for image, some, log_odds in zip(images, (texts[:7], texts[7:24]), found, strict=False):
        np.testing.assert_allclose(log_odds, graphs.match(image, some), atol=MATCH_TOLERANCE)


def test_the_reports_of_an_answer_are_the_best_of_the_nearest_of_all(
    ecgs, settings, encoder, graphs, images
):
    ids, reports = embedded_reports(settings)
    assert len(ids) == len(reports) > 9000
    (model,) = encoder.models()
    calibration = served_calibration(settings.model_repository, model)
    assert calibration
    predictor = Predictor.of(calibration, encoder, model)
    for ecg, image in zip(cpsc_ecgs(), images, strict=True):
        request = pb.RetrieveRequest(ecg=ecg, question=pb.Question(top_k=20))
        hits = ecgs.Retrieve(request, timeout=30).answer.hits
        own = graphs.images(image[None])[0]
        near = np.argsort(-(reports @ own))[:VOTERS]
        agreeing = predictor.agreement(predictor.probabilities(own), reports[near])
        records = records_of(settings, [ids[place] for place in near])
        scores = reports[near] @ own + agreeing + predictor.commonness(records)
        best = np.argsort(-scores)[:20]
        np.testing.assert_allclose([hit.score for hit in hits], scores[best], atol=TOLERANCE)
        # Scores closer than the tolerance may change places.
        far = scores[best[-1]] + TOLERANCE
        assert {ids[near[i]] for i in best if scores[i] > far} <= {
            hit.report.report_id for hit in hits
        }


def embedded_reports(settings) -> tuple[list[str], np.ndarray]:
    """Return ids and embeddings of all reports in the index."""
    client = connect(settings.milvus_uri)
    iterator = client.query_iterator(
        ALIAS, batch_size=500, output_fields=["report_id", "embedding"]
    )
    rows = list(itertools.chain.from_iterable(iter(iterator.next, [])))
    iterator.close()
    client.close()
    return [row["report_id"] for row in rows], np.array([row["embedding"] for row in rows])


def records_of(settings, report_ids: list[str]) -> list[int]:
    """Return how many records bear each report of the index."""
    client = connect(settings.milvus_uri)
    rows = client.query(
        ALIAS, filter=f"report_id in {report_ids}", output_fields=["report_id", "body"]
    )
    client.close()
    counts = {row["report_id"]: json.loads(row["body"])["record_count"] for row in rows}
    return [counts[one] for one in report_ids]
