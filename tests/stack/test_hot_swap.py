"""A second model version comes and goes while requests flow."""

import json
import shutil
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner, Result

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.pb.v1 import ecg_retrieval_pb2_grpc, job_pb2
from cardex.api.recordings import recordings
from cardex.cli.main import app
from cardex.cli.model_commands import GatewayIndexes
from cardex.domain.cases import Case, Nearness
from cardex.domain.errors import CardexError
from cardex.domain.jobs import Question
from cardex.inference.control import replicas
from cardex.inference.repository import IMAGE_ENCODER, model_versions, newest
from cardex.models.deploy import Deployment
from cardex.models.files import alone
from cardex.models.install import served_versions
from cardex.retrieval.dependencies import triton_server
from tests.helpers.models import MIRRORED, mirrored
from tests.helpers.real import ROOT, demo_data, reports
from tests.helpers.stack import build_index, running_stack, variant
from tests.helpers.waiting import until

REQUESTS = 1000
CLIENTS = 8


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swap")
    repository = folder / "models"
    shutil.copytree(ROOT / "model_repository", repository, symlinks=True)
    with running_stack(folder / "data", model_repository=repository) as (_, settings):
        build_index(settings, reports(300))
        with Client.from_settings(settings) as client:
            *_, sent = client.file_cases(cases())
            assert (sent.cases, sent.without_ecg, sent.refused) == (len(cases()), 0, 0)
        yield settings


def cases() -> list[tuple[Case, Path]]:
    """Return cases with real ECGs."""
    files = [paths[0] for paths in islice(recordings(demo_data().cpsc), 3)]
    return [(Case(f"case-{path.stem}", f"case {path.stem}"), path) for path in files]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    return mirrored(ROOT / "model_repository", tmp_path_factory.mktemp("mirror") / "models")


@pytest.fixture
def deployment(settings):
    servers = replicas(settings.triton_url, timeout_s=settings.triton_timeout_s)
    with Client.from_settings(settings) as client:
        yield Deployment(settings.model_repository, servers, GatewayIndexes(client))


def quietly(stored: int, total: int) -> None:
    assert 0 <= stored <= total


class Traffic:
    """Clients that ask one different ECG after another."""

    def __init__(self, settings) -> None:
        self._channel = grpc.insecure_channel(settings.gateway_target)
        self._ecgs = ecg_retrieval_pb2_grpc.EcgRetrievalServiceStub(self._channel)
        self._next = 0
        self._lock = threading.Lock()
        self.answers: list[job_pb2.Answer] = []
        self.errors: list[grpc.RpcError] = []
        self.enough = threading.Event()

    def run(self) -> None:
        while not (self.enough.is_set() and len(self.answers) >= REQUESTS) and not self.errors:
            with self._lock:
                number, self._next = self._next, self._next + 1
            lap, place = divmod(number, 900)
            request = pb.RetrieveRequest(ecg=variant(place))
            request.question.top_k = 3 + lap
            try:
                self.answers.append(self._ecgs.Retrieve(request, timeout=60).answer)
            except grpc.RpcError as error:
                self.errors.append(error)

    def __enter__(self) -> "Traffic":
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._done = [self._pool.submit(self.run) for _ in range(CLIENTS)]
        return self

    def __exit__(self, *_) -> None:
        self.enough.set()
        for done in self._done:
            done.result()
        self._pool.shutdown()
        self._channel.close()

    def next_version(self) -> str:
        """Return the version of an answer to a request that was sent after this call."""
        seen = len(self.answers)
        while len(self.answers) < seen + 2 * CLIENTS and not self.errors:
            time.sleep(0.02)
        assert self.errors == []
        return self.answers[-1].model_version

    def wait_for(self, version: str) -> None:
        """Wait until a version answers; workers look at the index every second."""
        until(lambda: self.next_version() == version, seconds=30.0)


def test_1000_requests_flow_while_a_version_is_deployed_and_rolled_back(
    settings, deployment, mirror
):
    before = newest(settings.model_repository).version()
    with Traffic(settings) as traffic:
        assert traffic.next_version() == before
        state = deployment.deploy(mirror, quietly)
        assert (state.triton_version, state.version, state.answering) == (2, MIRRORED, True)
        traffic.wait_for(MIRRORED)
        state = deployment.rollback(quietly)
        assert (state.triton_version, state.version, state.answering) == (1, before, True)
        assert traffic.next_version() == before
    assert traffic.errors == []
    assert len(traffic.answers) >= REQUESTS
    versions = Counter(answer.model_version for answer in traffic.answers)
    assert set(versions) == {before, MIRRORED}
    # An ECG of one version among the reports of the other would be far from its nearest.
    assert min(answer.hits[0].score for answer in traffic.answers) > 0
    assert served_versions(settings.model_repository) == [1]
    assert triton_server(settings).ready_versions()[IMAGE_ENCODER] == {1}


def test_cases_come_along_with_their_ecgs(settings, deployment, mirror):
    deployment.deploy(mirror, quietly)
    try:
        with Client.from_settings(settings) as client:
            assert client.index().case_count == len(cases())
            until(
                lambda: client.retrieve(cases()[0][1]).answer.model_version == MIRRORED,
                seconds=30.0,
            )
            for case, path in cases():
                hit = client.retrieve(path, Question(1, by=Nearness.ECG)).answer.hits[0]
                assert (hit.report.text, hit.cases[0].case_id) == (case.text, case.case_id)
                assert hit.ecg_similarity > 0.99
                assert client.case(case.case_id).trace.samples > 0
    finally:
        deployment.rollback(quietly)


def test_a_version_that_answers_wrongly_never_serves(settings, deployment, mirror, tmp_path):
    broken = tmp_path / "models"
    shutil.copytree(mirror, broken, symlinks=True)
    graph = ROOT / "model_repository" / IMAGE_ENCODER / "1" / "model.onnx"
    shutil.copy(graph, broken / IMAGE_ENCODER / "1" / "model.onnx")
    card = newest(broken).card
    card.write_text(card.read_text().replace(MIRRORED, "cardex-broken"))
    there = [release.triton_version for release in model_versions(settings.model_repository)]
    with pytest.raises(CardexError, match="cardex-broken"):
        deployment.deploy(broken, quietly)
    assert served_versions(settings.model_repository) == [1]
    assert [
        release.triton_version for release in model_versions(settings.model_repository)
    ] == there
    with Client.from_settings(settings) as client:
        assert client.search("sinus rhythm", 3).hits


def test_a_shadow_and_its_way_into_service_and_back_as_an_operator_types_it(
    settings, mirror, monkeypatch
):
    before = newest(ROOT / "model_repository").version()
    monkeypatch.setenv("CARDEX_DATA_DIR", str(settings.data_dir))
    assert answering() == before
    with alone(settings.model_repository):
        assert "another command is changing" in refused("deploy", mirror)
    assert "its index is made" in done("deploy", mirror, "--shadow")
    assert answering() == before
    with Client.from_settings(settings) as client:
        assert MIRRORED in client.info().served_model_versions
        assert client.info().model_version == before
        assert client.search("sinus rhythm", 3).model_version == before
        steps = list(client.migrate(MIRRORED, shadow=True))
        assert len(steps) == 2, "the index of the shadow is taken as it is"
    assert json.loads(done("deploy", mirror, "--json"))["version"] == MIRRORED
    assert answering() == MIRRORED
    with Client.from_settings(settings) as client:
        assert client.search("sinus rhythm", 3).model_version == MIRRORED
        assert client.index().report_count == steps[-1].total
    assert f"{before} (version 1) answers" in done("rollback")
    assert answering() == before
    assert "version 1 answers" in refused("retire", 1)
    assert "no way back" in refused("rollback")


def answering() -> str:
    (state,) = (state for state in json.loads(done("list", "--json")) if state["answering"])
    return str(state["version"])


def done(*arguments: object) -> str:
    result = cardex(*arguments)
    assert result.exit_code == 0, result.output
    return result.output if "--json" not in arguments else result.stdout


def refused(*arguments: object) -> str:
    result = cardex(*arguments)
    assert result.exit_code == 1, result.output
    return " ".join(result.output.split())


def cardex(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, arguments)])
