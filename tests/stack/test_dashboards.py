"""Each query of each dashboard finds something in a Prometheus that reads the stack."""

import math
import shutil
import time

import grpc
import pytest

from cardex.api.pb.v1 import ecg_pb2, job_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from deploy.dashboards.boards import BOARDS
from loadtest.prometheus import Prometheus
from tests.helpers.real import real_signal
from tests.helpers.stack import typed_ecg, variant

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="there is no prometheus here: `make deploy-tools`"
)

QUERIES = [
    pytest.param(query, id=f"{board.name}: {panel.title} {legend}")
    for board in BOARDS
    for panel in board.panels
    for legend, query in panel.queries.items()
]
WAIT_S = 60.0


@pytest.fixture(scope="module")
def prometheus(stack, tmp_path_factory):
    with Prometheus(stack.endpoints, tmp_path_factory.mktemp("prometheus")) as prometheus:
        yield prometheus


def without_a_lead(number: int) -> ecg_pb2.Ecg:
    signal = real_signal()[:, 200 + number : 9200 + number].copy()
    signal[6] = 0.0
    return typed_ecg(signal)


@pytest.fixture(scope="module")
def asked(ecgs):
    """Returns a function that makes everything happen once more that a dashboard shows."""
    numbers = iter(range(7_000, 8_000))

    def ask() -> None:
        number = next(numbers)
        good, flat = variant(number % 900), without_a_lead(number % 700)
        for ecg in (good, good, flat):
            ecgs.Retrieve(pb.RetrieveRequest(ecg=ecg), timeout=60)
        for priority in (job_pb2.PRIORITY_STAT, job_pb2.PRIORITY_ROUTINE):
            rubbish = ecg_pb2.Ecg(file=ecg_pb2.ClinicalFile(name="x", content=b"%d" % number))
            ecgs.SubmitEcg(pb.SubmitEcgRequest(ecg=rubbish, priority=priority), timeout=60)
        ecgs.SubmitEcg(pb.SubmitEcgRequest(ecg=variant(number % 800)), timeout=60)
        ecgs.SearchReports(pb.SearchReportsRequest(text=f"sinus rhythm {number}"), timeout=60)
        with pytest.raises(grpc.RpcError):
            ecgs.GetJob(pb.GetJobRequest(job_id="none"), timeout=60)

    return ask


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_finds_series(prometheus, asked, query):
    expression = query.replace("$__rate_interval", "10s")
    deadline = time.monotonic() + WAIT_S
    while all(math.isnan(float(s["value"][1])) for s in prometheus.query(expression)):
        assert time.monotonic() < deadline
        asked()
