"""What must hold of every overlay beyond the schemas; each rule yields what breaks it, in words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cardex.domain.settings import PREFIX, Settings
from cardex.worker.heartbeat import MAX_HOLD_S
from deploy.checks.rendered import (
    Object,
    labels_of,
    name_of,
    of_kind,
    pod_of,
    selects,
)

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
GIVEN_SECRETS = {
    "cardex-stores", "cardex-tls", "cardex-keys", "cardex-metrics", "state-auth", "cache-auth"
}  # fmt: skip
"""Secrets that the operator makes before: deploy/README.md says how."""
SECRET_KEYS = {
    "cardex-stores": {"state-url", "cache-url", "milvus-uri", "milvus-token"},
}
OTHER_PORTS = {
    "triton": {8000, 8001, 8002}, "state": {6379}, "sentinel": {26379}, "cache": {6379},
    "milvus": {19530},
}  # fmt: skip
"""By container, what the programs that are not ours open."""
BINDS = {
    "gateway": ("CARDEX_GATEWAY_BIND", "CARDEX_METRICS_PORT"),
    "worker": ("CARDEX_METRICS_PORT",),
    "web": ("CARDEX_WEB_BIND",),
}
"""By command, the settings that say what our programs open."""
RETRIEVE_S = Settings.model_fields["retrieve_timeout_s"].default

Rule = Callable[[Sequence[Object]], Iterator[str]]


def probes(objects: Sequence[Object]) -> Iterator[str]:
    """Each container tells when it has started, takes work, and gets on."""
    for where, container in _containers(objects, init=False):
        for probe in PROBES:
            if probe not in container:
                yield f"{where} has no {probe}"


def limits(objects: Sequence[Object]) -> Iterator[str]:
    """Each container says what it needs and what it may take."""
    for where, container in _containers(objects):
        for side in ("requests", "limits"):
            given = container.get("resources", {}).get(side, {})
            for resource in ("cpu", "memory"):
                if resource not in given:
                    yield f"{where} has no {side} of {resource}"


def confined(objects: Sequence[Object]) -> Iterator[str]:
    """Nothing runs as root, writes its root, or gains rights; no pod has a token of Kubernetes."""
    for workload in _workloads(objects):
        pod, name = pod_of(workload), name_of(workload)
        context = pod.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{name} may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name} has no seccomp profile"
        if pod.get("automountServiceAccountToken", True):
            yield f"{name} gets a token of Kubernetes"
        if pod.get("enableServiceLinks", True):
            yield f"{name} gets variables of every Service"
    for where, container in _containers(objects):
        own = container.get("securityContext", {})
        if not own.get("readOnlyRootFilesystem"):
            yield f"{where} may write its root"
        if own.get("allowPrivilegeEscalation", True) or own.get("privileged"):
            yield f"{where} may gain rights"
        if own.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{where} keeps capabilities"


def images(objects: Sequence[Object]) -> Iterator[str]:
    """Each image is of a version."""
    for where, container in _containers(objects):
        image = str(container["image"])
        tag = image.rpartition("/")[2].partition(":")[2]
        if "@sha256:" not in image and tag in ("", "latest"):
            yield f"{where} runs {image}, which is of no version"


def policies(objects: Sequence[Object]) -> Iterator[str]:
    """All is closed, each pod has a policy of its own, and what one may send the other takes."""
    found = list(of_kind(objects, "NetworkPolicy"))
    general = [each for each in found if each["spec"]["podSelector"] == {}]
    if not any(
        set(each["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not each["spec"].get("ingress") and not each["spec"].get("egress")
        for each in general
    ):  # fmt: skip
        yield "no NetworkPolicy closes everything"
    for workload in _workloads(objects):
        own = [
            each
            for each in found
            if each not in general and selects(each["spec"]["podSelector"], labels_of(workload))
        ]
        if not own:
            yield f"{name_of(workload)} has no NetworkPolicy"
        for policy in own:
            yield from _arrows(name_of(policy), policy, objects, found)


def _arrows(
    name: str, policy: Object, objects: Sequence[Object], found: Sequence[Object]
) -> Iterator[str]:
    for rule in policy["spec"].get("egress", ()):
        for peer in rule.get("to", ()):
            if "namespaceSelector" in peer or _is_operators(peer, objects):
                continue
            targets = [
                each
                for each in _workloads(objects)
                if selects(peer["podSelector"], labels_of(each))
            ]
            if not targets:
                yield f"{name} may send to {peer['podSelector']}, which is not there"
            for target in targets:
                for port in (each["port"] for each in rule["ports"]):
                    if not _takes(target, port, policy, found):
                        yield f"{name} may send to {name_of(target)}:{port}, which takes nothing"


def _is_operators(peer: Mapping[str, Any], objects: Sequence[Object]) -> bool:
    """Return whether pods are those that Milvus' operator makes of an object here."""
    made = {"app.kubernetes.io/name": "milvus"}
    return any(of_kind(objects, "Milvus")) and selects(peer["podSelector"], made)


def _takes(target: Object, port: int, sender: Object, found: Sequence[Object]) -> bool:
    opened = {each["containerPort"] for each in _ports(target)}
    labels = sender["spec"]["podSelector"].get("matchLabels", {})
    return port in opened and any(
        selects(policy["spec"]["podSelector"], labels_of(target))
        and any(
            port in [each["port"] for each in rule["ports"]]
            and any(
                "podSelector" in peer and selects(peer["podSelector"], labels)
                for peer in rule.get("from", [{"podSelector": {}}])
            )
            for rule in policy["spec"].get("ingress", ())
        )
        for policy in found
    )


def services(objects: Sequence[Object]) -> Iterator[str]:
    """Each Service meets pods that open its ports."""
    for service in of_kind(objects, "Service"):
        met = [
            workload
            for workload in _workloads(objects)
            if selects({"matchLabels": service["spec"]["selector"]}, labels_of(workload))
        ]
        if not met:
            yield f"Service {name_of(service)} meets no pod"
        for workload in met:
            opened = {
                key
                for port in _ports(workload)
                for key in (port.get("name"), port["containerPort"])
            }
            for port in service["spec"]["ports"]:
                if port.get("targetPort", port["port"]) not in opened:
                    yield f"Service {name_of(service)}: {name_of(workload)} opens no {port}"


def settings(objects: Sequence[Object]) -> Iterator[str]:
    """Each variable of ours is a setting, and what it is read from is there."""
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    maps = {name_of(each): each for each in of_kind(objects, "ConfigMap")}
    secrets = GIVEN_SECRETS | {name_of(each) for each in of_kind(objects, "Secret")}
    for where, container in _containers(objects):
        for variable in _environment(container, maps):
            if variable.startswith(PREFIX) and variable not in known:
                yield f"{where}: {variable} is no setting"
    for workload in _workloads(objects):
        for kind, name, key in _references(pod_of(workload)):
            there = maps if kind == "configMap" else secrets
            if name not in there:
                yield f"{name_of(workload)} reads the {kind} {name}, which is not there"
            elif key and kind == "secret" and key not in SECRET_KEYS.get(name, {key}):
                yield f"{name_of(workload)} reads {key} of the secret {name}, which has none"


def ports(objects: Sequence[Object]) -> Iterator[str]:
    """Each port is one that the program opens."""
    maps = {name_of(each): each for each in of_kind(objects, "ConfigMap")}
    for workload in _workloads(objects):
        for container in pod_of(workload)["containers"]:
            named = [port["name"] for port in container.get("ports", ())]
            if len(set(named)) < len(named):
                yield f"{name_of(workload)} has several ports of one name"
            given = {port["containerPort"] for port in container.get("ports", ())}
            opened = _opened(container, _environment(container, maps))
            if given != opened:
                yield f"{name_of(workload)} names the ports {given} and opens {opened}"


def _opened(container: Mapping[str, Any], values: Mapping[str, str]) -> set[int]:
    if container["name"] in OTHER_PORTS:
        return OTHER_PORTS[container["name"]]
    command = container["args"][0]
    return {int(values[setting].rpartition(":")[2]) for setting in BINDS[command]}


def budgets(objects: Sequence[Object]) -> Iterator[str]:
    """Each workload has one PodDisruptionBudget, and pods of several are spread."""
    for workload in _workloads(objects):
        own = [
            each
            for each in of_kind(objects, "PodDisruptionBudget")
            if selects(each["spec"]["selector"], labels_of(workload))
        ]
        if len(own) != 1:
            yield f"{name_of(workload)} has {len(own)} PodDisruptionBudgets"
        spread = [
            each
            for each in pod_of(workload).get("topologySpreadConstraints", ())
            if selects(each["labelSelector"], labels_of(workload))
        ]
        if workload["spec"].get("replicas") != 1 and not spread:
            yield f"{name_of(workload)} is not spread over nodes"


def nodes(objects: Sequence[Object]) -> Iterator[str]:
    """Each pod of a StatefulSet has a name, also before it is ready, and a claim of its own."""
    headless = {
        name_of(each): each["spec"]
        for each in of_kind(objects, "Service")
        if each["spec"].get("clusterIP") == "None"
    }
    for workload in of_kind(objects, "StatefulSet"):
        service = headless.get(workload["spec"]["serviceName"], {"selector": {"": ""}})
        if not selects({"matchLabels": service["selector"]}, labels_of(workload)):
            yield f"no headless Service names the pods of {name_of(workload)}"
        elif not service.get("publishNotReadyAddresses"):
            yield f"pods of {name_of(workload)} that are not ready have no name"
        if not workload["spec"].get("volumeClaimTemplates"):
            yield f"pods of {name_of(workload)} have no claim of their own"


def mounts(objects: Sequence[Object]) -> Iterator[str]:
    """Each container mounts volumes that its pod has, or its StatefulSet's claims."""
    for workload in _workloads(objects):
        pod, claims = pod_of(workload), workload["spec"].get("volumeClaimTemplates", ())
        there = {each["name"] for each in pod.get("volumes", ())} | set(map(name_of, claims))
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            for mount in container.get("volumeMounts", ()):
                if mount["name"] not in there:
                    yield f"{name_of(workload)}/{container['name']} mounts no {mount['name']}"


def graces(objects: Sequence[Object]) -> Iterator[str]:
    """What is asked to stop has the time of its longest task."""
    longest = {
        "gateway": RETRIEVE_S, "web": RETRIEVE_S, "worker-stat": MAX_HOLD_S,
        "worker-routine": MAX_HOLD_S,
    }  # fmt: skip
    for workload in _workloads(objects):
        given = pod_of(workload).get("terminationGracePeriodSeconds", 30)
        needed = longest.get(name_of(workload), 0)
        if given < needed:
            yield f"{name_of(workload)} has {given} s to stop, its longest task {needed:g} s"


def shared_memory(objects: Sequence[Object]) -> Iterator[str]:
    """Triton has shared memory, without which no instance starts."""
    for workload in _workloads(objects):
        if name_of(workload) != "triton":
            continue
        pod = pod_of(workload)
        memory = {
            volume["name"]
            for volume in pod["volumes"]
            if volume.get("emptyDir", {}).get("medium") == "Memory"
        }
        mounts = [
            mount["name"]
            for container in pod["containers"]
            for mount in container["volumeMounts"]
            if mount["mountPath"] == "/dev/shm"  # noqa: S108
        ]
        if not mounts or mounts[0] not in memory:
            yield "triton has no /dev/shm"


def monitors(objects: Sequence[Object]) -> Iterator[str]:
    """What Prometheus is told to read is there, and has the port."""
    for monitor in of_kind(objects, "ServiceMonitor", "PodMonitor"):
        of_services = monitor["kind"] == "ServiceMonitor"
        found = list(of_kind(objects, "Service")) if of_services else _workloads(objects)
        met = [
            each
            for each in found
            if selects(
                monitor["spec"]["selector"],
                each["metadata"].get("labels", {}) if of_services else labels_of(each),
            )
        ]
        if not met:
            yield f"{monitor['kind']} {name_of(monitor)} meets nothing"
        for each in met:
            ports = each["spec"]["ports"] if of_services else _ports(each)
            key = "endpoints" if of_services else "podMetricsEndpoints"
            for endpoint in monitor["spec"][key]:
                if endpoint["port"] not in [port.get("name") for port in ports]:
                    yield f"{name_of(each)} has no port {endpoint['port']}, which is to be read"


def scaling(objects: Sequence[Object]) -> Iterator[str]:
    """What is scaled is there, says no number of its own, and STAT never falls to none."""
    workloads = {name_of(each): each for each in _workloads(objects)}
    for scaled in of_kind(objects, "ScaledObject"):
        target = scaled["spec"]["scaleTargetRef"]["name"]
        if target not in workloads:
            yield f"{name_of(scaled)} scales {target}, which is not there"
        elif "replicas" in workloads[target]["spec"]:
            yield f"{target} says its number, which {name_of(scaled)} says too"
        if target != "worker-routine" and scaled["spec"]["minReplicaCount"] < 1:
            yield f"{target} may fall to none"


RULES: tuple[Rule, ...] = (
    probes, limits, confined, images, policies, services, settings, ports, budgets, nodes, mounts,
    graces, shared_memory, monitors, scaling,
)  # fmt: skip


def violations(objects: Sequence[Object]) -> list[str]:
    """Return all that breaks a rule."""
    return [broken for rule in RULES for broken in rule(objects)]


def _workloads(objects: Sequence[Object]) -> list[Object]:
    return list(of_kind(objects, "Deployment", "StatefulSet", "DaemonSet", "Job"))


def _ports(workload: Object) -> list[Mapping[str, Any]]:
    return [
        port for container in pod_of(workload)["containers"] for port in container.get("ports", ())
    ]


def _containers(
    objects: Sequence[Object], *, init: bool = True
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for workload in _workloads(objects):
        pod = pod_of(workload)
        for container in [*pod["containers"], *(pod.get("initContainers", ()) if init else ())]:
            yield f"{name_of(workload)}/{container['name']}", container


def _environment(container: Mapping[str, Any], maps: Mapping[str, Object]) -> dict[str, str]:
    """Return the variables of a container; of a secret's value only the name is known."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        if (name := source.get("configMapRef", {}).get("name")) in maps:
            found |= maps[name]["data"]
    return found | {each["name"]: each.get("value", "") for each in container.get("env", ())}


def _references(pod: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and key of the ConfigMaps and Secrets that a pod reads."""
    for volume in pod.get("volumes", ()):
        if "configMap" in volume:
            yield "configMap", volume["configMap"]["name"], ""
        if "secret" in volume:
            for item in volume["secret"].get("items", [{"key": ""}]):
                yield "secret", volume["secret"]["secretName"], item["key"]
    for container in [*pod["containers"], *pod.get("initContainers", ())]:
        for source in container.get("envFrom", ()):
            if "configMapRef" in source:
                yield "configMap", source["configMapRef"]["name"], ""
        for variable in container.get("env", ()):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                yield "secret", reference["name"], reference["key"]
