import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from cardex.domain.errors import ConfigurationError
from cardex.local_stack.triton import STUB, TritonRuntime, inspect_runtime, triton_process


@pytest.fixture
def whole(tmp_path) -> dict[str, str | None]:
    """What the interpreter of a whole environment says of itself, and the files that it names."""
    server = tmp_path / "site-packages" / "pytriton" / "tritonserver"
    for file in (
        server / "bin" / "tritonserver",
        server / "backends" / "python" / "libtriton_python.so",
        server / "python_backend_stubs" / "3.11" / "triton_python_backend_stub",
        tmp_path / "lib" / "libpython3.11.so.1.0",
    ):
        file.parent.mkdir(parents=True)
        file.touch()
    return {
        "python": "3.11",
        "bin": str(tmp_path / "bin"),
        "libdir": str(tmp_path / "lib"),
        "library": "libpython3.11.so.1.0",
        "numpy": "1.26.4",
        "onnxruntime": "1.31.1",
        "server": str(server),
    }


@pytest.fixture
def inspected(tmp_path):
    """Inspect an interpreter that prints what it is given."""

    def run(found: dict | str, status: int = 0) -> TritonRuntime:
        interpreter = tmp_path / "python"
        said = found if isinstance(found, str) else json.dumps(found)
        interpreter.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit {status}\n")
        interpreter.chmod(0o755)
        return inspect_runtime(interpreter)

    return run


def test_a_whole_environment_is_described(inspected, whole, tmp_path):
    runtime = inspected(whole)
    assert runtime == TritonRuntime(
        Path(whole["server"]), "3.11", tmp_path / "bin", tmp_path / "lib"
    )


@pytest.mark.parametrize("version", ["2.0.0", "2.4.6", "10.0"])
def test_numpy_2_is_refused_with_the_reason(inspected, whole, version):
    with pytest.raises(ConfigurationError, match=rf"numpy {version}.*empty tensors") as caught:
        inspected(whole | {"numpy": version})
    assert caught.value.reason == "TRITON_NUMPY"


def test_a_missing_numpy_is_refused(inspected, whole):
    with pytest.raises(ConfigurationError, match="numpy None"):
        inspected(whole | {"numpy": None})


@pytest.mark.parametrize(
    ("key", "package"), [("server", "nvidia-pytriton"), ("onnxruntime", "onnxruntime")]
)
def test_a_missing_package_is_named_with_the_remedy(inspected, whole, key, package):
    with pytest.raises(ConfigurationError, match=f"{package} is not installed.*make setup"):
        inspected(whole | {key: None})


@pytest.mark.parametrize("library", ["libpython3.12.so.1.0", "libpython3.11.a", ""])
def test_a_python_without_its_shared_library_is_refused(inspected, whole, library):
    with pytest.raises(ConfigurationError, match=r"shared library.*libpython3\.11") as caught:
        inspected(whole | {"library": library})
    assert caught.value.reason == "LIBPYTHON_MISSING"


def test_a_python_that_the_server_does_not_know_is_refused(inspected, whole):
    with pytest.raises(ConfigurationError, match=r"no python backend for Python 3\.14"):
        inspected(whole | {"python": "3.14"})


def test_a_missing_environment_is_named_with_the_remedy(tmp_path):
    with pytest.raises(ConfigurationError, match="does not exist: run `make setup`"):
        inspect_runtime(tmp_path / "python")


@pytest.mark.parametrize(("said", "status"), [("no JSON", 0), ("", 0), ("{}", 1)])
def test_an_interpreter_that_does_not_run_is_named(inspected, said, status):
    with pytest.raises(ConfigurationError, match="does not run"):
        inspected(said, status)


def test_a_file_that_is_no_program_is_named(tmp_path):
    (tmp_path / "python").write_text("not a program")
    with pytest.raises(ConfigurationError, match="does not run"):
        inspect_runtime(tmp_path / "python")


@pytest.fixture
def part(inspected, whole, tmp_path):
    ports = (9000, 9001, 9002)
    return triton_process(inspected(whole), tmp_path / "models", tmp_path, ports, tmp_path / "log")


def test_the_stub_of_this_python_stands_beside_the_backend(part, tmp_path):
    backend = tmp_path / "backends" / "python"
    for name in (STUB, "libtriton_python.so"):
        assert (backend / name).stat().st_mode & 0o111
    assert f"--backend-directory={tmp_path / 'backends'}" in part.argv


def test_only_this_machine_reaches_the_server(part):
    addresses = [option for option in part.argv if "-address=" in option]
    assert len(addresses) == 3
    assert all(option.endswith("=127.0.0.1") for option in addresses)


def test_the_server_runs_in_its_own_environment(part, tmp_path):
    assert part.env["PATH"].startswith(f"{tmp_path / 'bin'}:")
    assert part.env["LD_LIBRARY_PATH"].startswith(f"{tmp_path / 'lib'}:")
    assert part.env["PYTHONPATH"] == ""


def test_versions_can_come_and_go_while_the_server_runs(part, tmp_path):
    assert f"--model-repository={tmp_path / 'models'}" in part.argv
    assert {"--model-control-mode=explicit", "--load-model=*"} <= set(part.argv)
    assert "--strict-readiness=false" in part.argv


def test_the_models_run_on_the_cpu(part):
    assert "--model-config-name=cpu" in part.argv


def test_a_server_that_does_not_answer_is_not_ready(part):
    assert not part.ready()


def test_models_that_outlive_a_killed_server_are_ended_and_no_others(part, tmp_path):
    """Each is in a session of its own, so that nothing sent to the server's reaches it."""
    left = tmp_path / "backends" / "python" / STUB
    another = tmp_path / "another" / STUB
    another.parent.mkdir()
    for program in (left, another):
        shutil.copy2("/bin/sleep", program)
    waiting = [
        subprocess.Popen([program, "600"], start_new_session=True) for program in (left, another)
    ]
    try:
        part.cleanup()
        assert waiting[0].wait(20) == -signal.SIGKILL
        assert waiting[1].poll() is None
    finally:
        for process in waiting:
            process.kill()
            process.wait()
