"""compose.yaml is what the manifests are, and holds no secret."""

import re
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from cardex.domain.settings import PREFIX, Settings
from deploy.checks.rendered import KUSTOMIZE, name_of, of_kind, pod_of, rendered
from deploy.compose.passwords import STORES, make_passwords
from deploy.compose.project import DOORS, FILE, ROOT
from deploy.play import ORDER

FOLDER = FILE.parent / "deploy" / "compose"
MONITORING = {"prometheus", "grafana"}
UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")


def read(path: Path) -> Any:
    """Return a compose file with the defaults of its variables."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", path.read_text())
    assert "${" not in text
    return yaml.safe_load(text.replace("$$", "$"))


COMPOSE = read(FILE)
SERVICES = COMPOSE["services"]


def deployment(name: str) -> Any:
    """Return a workload as the base has it, Milvus as the overlay dev does."""
    folder = KUSTOMIZE / ("overlays/dev" if name == "milvus" else "base")
    objects = list(yaml.safe_load_all((folder / f"{name}.yaml").read_text()))
    return next(of_kind(objects, "Deployment"))


def container(name: str) -> Any:
    return pod_of(deployment(name))["containers"][0]


def size(text: str) -> int:
    """Return the bytes of "1g" as compose writes it, or "1Gi" as Kubernetes does."""
    number, unit = re.fullmatch(r"(\d+)([kmg])i?", text.lower()).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def temporary(name: str) -> dict[str, int]:
    """Return the bytes of each folder that a pod of the base is lent, by path."""
    pod = pod_of(deployment(name))
    sizes = {
        volume["name"]: size(volume["emptyDir"]["sizeLimit"])
        for volume in pod["volumes"]
        if "emptyDir" in volume
    }
    mounts = pod["containers"][0].get("volumeMounts", ())
    return {each["mountPath"]: sizes[each["name"]] for each in mounts if each["name"] in sizes}


def lent(service: Any) -> dict[str, int]:
    """Return the same of a service."""
    parts = [each.partition(":") for each in service.get("tmpfs", ())]
    found = {path: size(dict(_options(options))["size"]) for path, _, options in parts}
    if "shm_size" in service:
        found["/dev/shm"] = size(service["shm_size"])
    return found


def _options(text: str) -> list[list[str]]:
    return [option.split("=") for option in text.split(",")]


@pytest.fixture(scope="module")
def dev():
    return rendered("dev")


def in_dev(objects, name: str) -> Any:
    found = next(each for each in of_kind(objects, "Deployment") if name_of(each) == name)
    return pod_of(found)["containers"][0]


def test_the_services_are_the_workloads():
    assert set(SERVICES) == set(ORDER) | MONITORING


@needs_kubectl
@pytest.mark.parametrize("name", ORDER)
def test_image_and_probe_are_those_of_the_overlay_for_one_machine(dev, name):
    service, there = SERVICES[name], in_dev(dev, name)
    assert service["image"] == there["image"]
    kind, *test = service["healthcheck"]["test"]
    assert kind == "CMD"
    assert test == there["readinessProbe"]["exec"]["command"]


@pytest.mark.parametrize("name", ORDER)
def test_command_limits_and_times_are_those_of_the_base(name):
    service, there = SERVICES[name], container(name)
    assert service.get("command") == there.get("command", there.get("args"))
    limits = there["resources"]["limits"]
    assert service["cpus"] == int(limits["cpu"])
    assert size(service["mem_limit"]) == size(limits["memory"])
    assert lent(service) == temporary(name)
    grace = pod_of(deployment(name))["terminationGracePeriodSeconds"]
    assert seconds(service["stop_grace_period"]) == grace
    check, startup = service["healthcheck"], there["startupProbe"]
    longest = startup["periodSeconds"] * startup["failureThreshold"]
    assert seconds(check["start_period"]) == longest
    assert seconds(check["interval"]) == there["readinessProbe"]["periodSeconds"]
    assert check["retries"] == there["livenessProbe"]["failureThreshold"]


@needs_kubectl
@pytest.mark.parametrize("name", DOORS)
def test_the_settings_are_those_of_the_overlay_for_one_machine(dev, name):
    service = SERVICES[name]
    (path,) = service["env_file"]
    lines = (ROOT / path).read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines) | service["environment"]
    given = {name: value for name, value in found.items() if name.startswith(PREFIX)}
    config = next(
        each for each in of_kind(dev, "ConfigMap") if name_of(each).startswith("cardex-settings")
    )
    assert given == config["data"]
    known = {f"{PREFIX}{field}".upper() for field in Settings.model_fields}
    assert set(given) <= known
    secret = {each["name"] for each in in_dev(dev, name).get("env", ())}
    assert {each.upper() for each in service["secrets"]} == secret
    assert secret <= known


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined(name):
    service = SERVICES[name]
    uid, _ = service["user"].split(":")
    assert int(uid) == 10001 or (name in MONITORING and int(uid) > 0)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges"]
    assert "privileged" not in service
    assert service["image"].rpartition(":")[2] not in ("", "latest")


def test_only_doors_are_published_and_only_on_this_machine():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"gateway", "web", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name, service in SERVICES.items():
        if name not in {*published, "prometheus"}:
            assert service["networks"] == ["inside"], name


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there(name):
    for volume in SERVICES[name].get("volumes", ()):
        source, target, *options = volume.split(":")
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert options == ["ro"], target
        else:
            assert source in COMPOSE["volumes"]


def test_what_is_needed_is_healthy_before():
    for name, service in SERVICES.items():
        assert "healthcheck" in service, name
        for other, condition in service.get("depends_on", {}).items():
            assert other in SERVICES
            assert condition == {"condition": "service_healthy"}


@pytest.mark.parametrize("path", [FILE, *sorted(FOLDER.glob("*.yaml"))], ids=lambda path: path.name)
def test_no_secret_is_written_down(path):
    assert not re.search(r"redis://|requirepass|sentinel://", path.read_text())
    for secret in read(path).get("secrets", {}).values():
        assert secret["file"].startswith("./deploy/compose/secrets/")
    for service in read(path).get("services", {}).values():
        for name, value in service.get("environment", {}).items():
            is_secret = re.search("PASSWORD|TOKEN|_KEYS?$|_URL$", name)
            assert not is_secret or value.startswith("/run/secrets/"), name


def test_passwords_are_made_once_and_belong_together(tmp_path):
    folder = tmp_path / "secrets"
    make_passwords(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    wanted = {each["file"].rpartition("/")[2] for each in COMPOSE["secrets"].values()}
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(before) == wanted
    make_passwords(folder)
    assert before == {path.name: path.read_text() for path in folder.iterdir()}
    for store in STORES:
        password = before[f"{store}_auth"].removeprefix("requirepass ").strip()
        assert len(password) == 64
        assert before[f"cardex_{store}_url"].strip() == f"redis://:{password}@{store}:6379/0"
    assert len({before[f"{store}_auth"] for store in STORES}) == len(STORES)


def test_half_of_a_password_is_made_anew(tmp_path):
    make_passwords(tmp_path)
    (tmp_path / "state_auth").unlink()
    make_passwords(tmp_path)
    password = (tmp_path / "state_auth").read_text().removeprefix("requirepass ").strip()
    assert password in (tmp_path / "cardex_state_url").read_text()


def test_prometheus_reads_ports_that_are_open():
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    read_from = {
        target
        for job in config["scrape_configs"]
        for each in job["static_configs"]
        for target in each["targets"]
    }
    ports = {name: container(name)["ports"] for name in (*DOORS, "triton")}
    assert read_from == {
        f"{name}:{port['containerPort']}"
        for name, some in ports.items()
        for port in some
        if port["name"] == ("http" if name == "web" else "metrics")
    }
    mounted = [volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]]
    assert set(config["rule_files"]) <= set(mounted)


def test_triton_on_a_gpu_is_that_of_the_component():
    service = read(FOLDER / "gpu.yaml")["services"]["triton"]
    component = yaml.safe_load((KUSTOMIZE / "components/gpu/triton.yaml").read_text())
    pod = pod_of(component)
    (plans,), (there,) = pod["initContainers"], pod["containers"]
    shell, option, script, _, *command = service["command"]
    assert [shell, option] == plans["command"][:2]
    assert script.strip() == f'{plans["command"][2]} && exec "$@"'
    assert command == there["command"]
    limits = there["resources"]["limits"]
    assert (service["cpus"], size(service["mem_limit"])) == (
        int(limits["cpu"]),
        size(limits["memory"]),
    )
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["count"] == limits["nvidia.com/gpu"]
    startup = container("triton")["startupProbe"] | there["startupProbe"]
    assert seconds(service["healthcheck"]["start_period"]) == (
        startup["periodSeconds"] * startup["failureThreshold"]
    )


def test_tls_sets_what_the_component_sets():
    component = yaml.safe_load((KUSTOMIZE / "components/tls/kustomization.yaml").read_text())
    (generator,) = component["configMapGenerator"]
    names = {literal.split("=")[0] for literal in generator["literals"]}
    compose = read(FOLDER / "tls.yaml")
    for name in ("gateway", "web"):
        service = compose["services"][name]
        settings = dict(service["environment"])
        assert settings.pop("CARDEX_INSECURE") == "false"
        assert set(settings) == names
        assert {path.removeprefix("/run/secrets/") for path in settings.values()} == set(
            service["secrets"]
        )
    assert set(compose["secrets"]) == set(service["secrets"])
