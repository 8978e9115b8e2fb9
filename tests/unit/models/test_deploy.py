from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from cardex.domain.errors import ConfigurationError, Unavailable, VersionMismatch
from cardex.inference import control
from cardex.inference.control import Replica
from cardex.inference.repository import MODELS, ModelVersion, model_versions, newest
from cardex.models import deploy as module
from cardex.models.deploy import Deployment
from cardex.models.install import ORDER, install, serve, served_versions
from tests.helpers.fake_clock import FakeClock


class Server:
    """One Triton; `loads` keeps what it was told."""

    def __init__(self, *usable: str) -> None:
        self.address = "10.0.0.1:8001"
        self.usable = set(usable)
        self.usable_once_loaded: set[str] = set()
        self.loads: list[str] = []
        self.error: Exception | None = None
        self.busy_for = 0

    def load(self, model: str) -> None:
        self.loads.append(model)
        self.usable |= self.usable_once_loaded
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def serves(self, version: str, repository: Path) -> bool:
        assert ModelVersion(repository, 1).version()
        return version in self.usable

    def asked(self, model: str, triton_version: int) -> int:
        assert model in MODELS
        assert triton_version > 0
        self.busy_for -= 1
        return max(0, self.busy_for)


class Indexes:
    """The gateway's index service."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.asked: list[tuple[str, bool]] = []

    def answering(self) -> str:
        return self.version

    def migrate(self, model_version, *, shadow):
        self.asked.append((model_version, shadow))
        yield 1, 2
        yield 2, 2
        if not shadow:
            self.version = model_version


@pytest.fixture
def server(repository):
    return Server(newest(repository).version(), "cardex-other")


@pytest.fixture
def indexes(repository):
    return Indexes(newest(repository).version())


@pytest.fixture
def deployment(repository, server, indexes):
    clock = FakeClock()
    return Deployment(
        repository, [server, server], indexes, clock=clock.monotonic, sleep=clock.sleep
    )


def silent(stored: int, total: int) -> None:
    assert stored <= total


def test_a_deployed_version_is_loaded_everywhere_and_answers(deployment, server, repository, other):
    told = []
    state = deployment.deploy(other, lambda *step: told.append(step))
    assert (state.triton_version, state.version, state.answering) == (2, "cardex-other", True)
    assert server.loads == [*ORDER, *ORDER]
    assert served_versions(repository) == [1, 2]
    assert told == [(1, 2), (2, 2)]


def test_a_repository_that_cannot_be_written_is_named(deployment, repository, other, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cardex.models.install.shutil.copytree", full)
    with pytest.raises(ConfigurationError, match=r"No space left.*give it room"):
        deployment.deploy(other, silent)
    assert served_versions(repository) == [1]


def test_a_deployment_that_was_cut_off_before_the_load_goes_on(
    deployment, server, repository, other
):
    install(newest(other), repository)
    serve(repository, [1, 2])
    server.usable, server.usable_once_loaded = set(), {"cardex-other"}
    assert deployment.deploy(other, silent).answering
    assert server.loads
    assert served_versions(repository) == [1, 2]


def test_a_deployment_that_was_cut_off_goes_on_where_triton_has_no_usable_version(
    repository, indexes, other, monkeypatch
):
    """The one server is asked through `Replica`, whose look at the versions fails until a load."""
    install(newest(other), repository)
    serve(repository, [1, 2])
    loads: list[str] = []

    class Encoder:
        def __init__(self, client, repository):
            pass

        def models(self, *, fresh=False):
            if not loads:
                raise VersionMismatch("image encoder m2 beside text encoder m1")
            return (SimpleNamespace(version="cardex-other"),)

    monkeypatch.setattr(control, "TritonEncoder", Encoder)
    monkeypatch.setattr(Replica, "load", lambda self, model: loads.append(model))
    deployment = Deployment(repository, [Replica("127.0.0.1:1", timeout_s=1.0)], indexes)
    assert deployment.deploy(other, silent).answering
    assert loads == list(ORDER)


def test_the_image_encoder_is_loaded_last(deployment, server, other):
    deployment.deploy(other, silent)
    assert server.loads[len(ORDER) - 1] == "ecg_image_encoder"


def test_a_shadow_does_not_answer_until_it_is_deployed_again(deployment, indexes, server, other):
    assert not deployment.deploy(other, silent, shadow=True).answering
    assert indexes.version != "cardex-other"
    loads = len(server.loads)
    assert deployment.deploy(other, silent).answering
    assert indexes.version == "cardex-other"
    assert len(server.loads) == loads, "it was loaded already"


def test_a_version_that_does_not_load_leaves_all_as_it_was(deployment, server, repository, other):
    server.error = ConfigurationError("Triton: no such backend")
    with pytest.raises(ConfigurationError, match="no such backend"):
        deployment.deploy(other, silent)
    assert served_versions(repository) == [1]
    assert [release.triton_version for release in model_versions(repository)] == [1]
    assert server.loads[-len(ORDER) :] == list(ORDER), "the old state is loaded again"


def test_a_version_that_one_server_cannot_use_is_taken_out_again(
    repository, server, indexes, other
):
    bad = Server(newest(repository).version())
    bad.address = "10.0.0.2:8001"
    deployment = Deployment(repository, cast("list[Replica]", [server, bad]), indexes)
    with pytest.raises(ConfigurationError, match=r"10\.0\.0\.2:8001 loaded cardex-other"):
        deployment.deploy(other, silent)
    assert served_versions(repository) == [1]
    assert indexes.asked == []


def test_a_rollback_goes_back_and_unloads_what_answered(deployment, indexes, repository, other):
    before = indexes.version
    deployment.deploy(other, silent)
    state = deployment.rollback(silent)
    assert (state.triton_version, state.version) == (1, before)
    assert indexes.version == before
    assert served_versions(repository) == [1]
    assert [release.triton_version for release in model_versions(repository)] == [1, 2], (
        "its folders stay"
    )


def test_a_version_is_retired_only_when_nobody_asks_for_it(deployment, server, repository, other):
    deployment.deploy(other, silent)
    server.busy_for = 10**9
    with pytest.raises(Unavailable, match="still has requests"):
        deployment.retire(1)
    assert served_versions(repository) == [1, 2]
    server.busy_for = 0
    deployment.retire(1)
    assert served_versions(repository) == [2]


def test_the_states_tell_what_is_served_and_what_answers(deployment, other):
    deployment.deploy(other, silent, shadow=True)
    first, second = deployment.states()
    assert (first.served, first.answering) == (True, True)
    assert second == replace(second, triton_version=2, served=True, answering=False)


@pytest.mark.parametrize(("version", "words"), [("", "no way back"), ("cardex-x", "to cardex-x")])
def test_a_way_back_that_is_not_there_is_said(deployment, version, words):
    with pytest.raises(ConfigurationError, match=words):
        deployment.rollback(silent, version)


@pytest.mark.parametrize(("triton_version", "words"), [(1, "answers"), (9, "is not served")])
def test_what_cannot_be_retired_is_said(deployment, triton_version, words):
    with pytest.raises(ConfigurationError, match=words):
        deployment.retire(triton_version)


def test_the_only_version_that_is_served_is_not_retired(deployment, indexes):
    indexes.version = ""
    with pytest.raises(ConfigurationError, match="the only one"):
        deployment.retire(1)


def test_it_waits_long_enough_for_workers_that_look_every_second():
    assert module.QUIET_S > 2.0
