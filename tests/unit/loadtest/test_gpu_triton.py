"""Triton's part of the check, as far as it needs no GPU: repository, command line, process, arithmetic."""

import os
import sys
import textwrap

import pytest

from cardex.domain.errors import ConfigurationError
from cardex.inference.encoder import ModelInfo
from cardex.inference.repository import MATCHER, MODELS, STAT_INSTANCE, newest
from cardex.local_stack.ports import listening
from cardex.models.config import versions
from loadtest import gpu_triton
from loadtest.gpu_speed import Pace
from loadtest.gpu_triton import (
    check,
    find_program,
    install,
    loads,
    models_of,
    server_argv,
    serving,
)
from loadtest.tritons import Load

SERVER = """\
    import http.server, sys

    options = dict(one.removeprefix("--").split("=", 1) for one in sys.argv[1:])
    print(sys.argv, flush=True)

    class Handler(http.server.BaseHTTPRequestHandler):
        asked = 0

        def do_GET(self):
            Handler.asked += 1
            slow = Handler.asked < 3 and "stat" in self.path
            self.send_response(400 if slow else 200)
            self.end_headers()

        def log_message(self, *_):
            print(self.path, flush=True)

    address = options["http-address"], int(options["http-port"])
    http.server.HTTPServer(address, Handler).serve_forever()
"""


@pytest.fixture
def program(tmp_path):
    """A server that answers whether its models are ready, and nothing else."""
    path = tmp_path / "bin" / "tritonserver"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(SERVER)}")
    path.chmod(0o755)
    return path


def test_the_server_is_found_on_path(monkeypatch, program, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program() is None
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    assert find_program() == program


def test_the_command_line_is_that_of_the_page_on_serving(root, program, tmp_path):
    argv = server_argv(program, tmp_path / "models", (1, 2, 3))
    assert argv[0] == str(program)
    page = (root / "docs" / "serving.md").read_text()
    start = page.index(
        "tritonserver --model-repository=model_repository --model-config-name=tensorrt"
    )
    said = page[start : page.index("```", start)].replace("\\\n", " ").split()[2:]
    assert len(said) == 6
    assert set(said) < set(argv)
    assert f"--model-repository={tmp_path / 'models'}" in argv
    for name, port in (("http", 1), ("grpc", 2), ("metrics", 3)):
        assert f"--{name}-address=127.0.0.1" in argv
        assert f"--{name}-port={port}" in argv


def test_the_copy_has_the_plans_and_serves_this_version_alone(release, halves, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in release.repository.rglob("*")}
    copy = install(release, halves, tmp_path)
    assert models_of(copy) == list(MODELS)
    for model, built in halves.items():
        assert (copy.folder(model) / "model.plan").read_bytes() == built.plan
    stat = copy.folder(STAT_INSTANCE) / "model.plan"
    assert stat.resolve().is_relative_to(tmp_path)
    assert stat.read_bytes() == halves["ecg_image_encoder"].plan
    for model in MODELS:
        config = copy.repository / model / "configs" / "tensorrt.pbtxt"
        assert versions(config) == [release.triton_version]
    assert {path: path.stat().st_mtime_ns for path in release.repository.rglob("*")} == before


def test_an_older_version_beside_the_newest_is_not_served(halves, release, tmp_path):
    two = install(release, {}, tmp_path / "two")
    for model in models_of(two):
        if model != STAT_INSTANCE:
            (two.repository / model / "2").symlink_to("1")
    (two.repository / STAT_INSTANCE / "2").symlink_to("../ecg_image_encoder/2")
    copy = install(newest(two.repository), halves, tmp_path / "copy")
    assert versions(copy.repository / MATCHER / "configs" / "tensorrt.pbtxt") == [2]
    assert copy.graph(MATCHER).with_name("model.plan").is_file()


def test_it_waits_until_every_model_is_ready_and_stops_its_own_process(program, release, tmp_path):
    with serving(program, release, tmp_path) as (http, _, _):
        assert listening(http)
    assert not listening(http)
    log = (tmp_path / "triton.log").read_text()
    for model in MODELS:
        assert f"/v2/models/{model}/versions/1/ready" in log
    assert log.count(f"/v2/models/{STAT_INSTANCE}/versions/1/ready") >= 2


def test_it_is_stopped_when_what_it_is_for_fails(program, release, tmp_path):
    with pytest.raises(KeyError), serving(program, release, tmp_path) as (http, _, _):
        raise KeyError
    assert not listening(http)


class Encoder:
    """Serves `found`."""

    found: ModelInfo

    def __init__(self, server, repository):
        self.repository = repository

    def models(self):
        return (self.found,)


class Graphs:
    """A TritonClient whose models answer as `runners` do."""

    def __init__(self, runners):
        self.runners = runners

    def infer(self, call):
        return self.runners[call.model].answer(call.inputs)


@pytest.fixture
def info(monkeypatch, release):
    monkeypatch.setattr(gpu_triton, "TritonEncoder", Encoder)
    Encoder.found = ModelInfo("v", release.spec(), 256, matcher=True)
    return Encoder.found


@pytest.mark.usefixtures("info")
def test_what_triton_answers_is_compared_with_the_reference(release, exact, reference):
    figures = check(Graphs(exact), release, reference)
    assert figures["top-10 overlap"] == 1.0
    assert figures["matcher, largest difference of log-odds"] < 1e-6


def test_a_matcher_that_is_not_served_is_an_error(info, release, exact, reference):
    Encoder.found = ModelInfo("v", release.spec(), 256, matcher=False)
    with pytest.raises(ConfigurationError, match="no matcher"):
        check(Graphs(exact), release, reference)


def test_the_loads_are_those_of_the_house(monkeypatch):
    class Server:
        asked: list = []  # noqa: RUF012

        def load(self, clients, images, seconds):
            self.asked.append((clients, images, seconds))
            rate = {64: 5000.0, 1: 900.0}[images] + len(self.asked)
            return Load(rate, [0.001, 0.002, 0.003], 7.5)

    monkeypatch.setattr(gpu_triton, "priority", lambda server: {"STAT idle p99 ms": 1.0})
    figures = loads(Server(), Pace(3, 0.5))
    assert Server.asked == [(8, 64, 0.5)] * 3 + [(64, 1, 0.5)] * 3
    assert figures == {
        "8 x 64 images in flight, images/s": 5002.0,
        "64 clients with one image, images/s": 905.0,
        "64 clients with one image, mean batch": 7.5,
        "64 clients with one image, p50 ms": 2.0,
        "64 clients with one image, p99 ms": pytest.approx(2.98),
        "STAT idle p99 ms": 1.0,
    }
