"""Every overlay is what an API server takes and what the policy asks; what is broken is found."""

import copy
import shutil

import pytest

from deploy.checks.policy import violations
from deploy.checks.rendered import OVERLAYS, name_of, pod_of, rendered
from deploy.checks.schemas import CHECK, faults

pytestmark = [
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl here"),
    pytest.mark.skipif(
        not (CHECK.parent / "node_modules").is_dir(), reason="`make deploy-tools` was not run"
    ),
]


@pytest.fixture(scope="module")
def overlays():
    return {overlay: rendered(overlay) for overlay in OVERLAYS}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_valid_and_keeps_the_policy(overlays, overlay):
    assert faults(overlays[overlay]) == []
    assert violations(overlays[overlay]) == []


def the(objects, kind: str, name: str):
    return next(each for each in objects if each["kind"] == kind and name_of(each) == name)


def deployment(name):
    return lambda objects: the(objects, "Deployment", name)


def container(name):
    return lambda objects: pod_of(the(objects, "Deployment", name))["containers"][0]


def stateful(name):
    return lambda objects: the(objects, "StatefulSet", name)


def node(place):
    """Return the container of a place in the pods of the state store."""
    return lambda objects: pod_of(the(objects, "StatefulSet", "state"))["containers"][place]


def gone(key):
    return lambda where: where.pop(key)


def put(**values):
    return lambda where: where.update(values)


def in_spec(change):
    return lambda where: change(where["spec"])


def in_pod(change):
    return lambda where: change(pod_of(where))


BREAKS = {
    "no start-up probe": (container("gateway"), gone("startupProbe"), "no startupProbe"),
    "no limit of memory": (
        container("worker-stat"),
        lambda c: c["resources"]["limits"].pop("memory"),
        "no limits of memory",
    ),
    "root": (
        deployment("web"),
        in_pod(lambda pod: pod["securityContext"].update(runAsNonRoot=False)),
        "may run as root",
    ),
    "a root that may be written": (
        container("triton"),
        lambda c: c["securityContext"].update(readOnlyRootFilesystem=False),
        "may write its root",
    ),
    "an image of no version": (container("web"), put(image="cardex:latest"), "of no version"),
    "an image without a tag": (container("web"), put(image="r.org:5000/cardex"), "of no version"),
    "no policy of its own": (
        lambda o: the(o, "NetworkPolicy", "web"),
        in_spec(put(podSelector={"matchLabels": {"a": "b"}})),
        "web has no NetworkPolicy",
    ),
    "an arrow that the other end refuses": (
        lambda o: the(o, "NetworkPolicy", "triton"),
        in_spec(lambda s: s["ingress"][0].update(ports=[{"port": 8000}])),
        "takes nothing",
    ),
    "a Service without pods": (
        lambda o: the(o, "Service", "gateway"),
        in_spec(put(selector={"app.kubernetes.io/name": "gatway"})),
        "meets no pod",
    ),
    "a Service of a port that is not open": (
        lambda o: the(o, "Service", "gateway"),
        in_spec(lambda s: s["ports"][0].update(targetPort="grpcs")),
        "opens no",
    ),
    "a variable that is no setting": (
        container("gateway"),
        lambda c: c["env"].append({"name": "CARDEX_BACKLOG", "value": "1"}),
        "CARDEX_BACKLOG is no setting",
    ),
    "a secret that nobody makes": (
        container("gateway"),
        lambda c: c["env"][0]["valueFrom"]["secretKeyRef"].update(name="stores"),
        "which is not there",
    ),
    "a port that the program does not open": (
        container("gateway"),
        lambda c: c["ports"][0].update(containerPort=50052),
        "names the ports",
    ),
    "two ports of one name": (
        container("gateway"),
        lambda c: c["ports"][1].update(name="grpc"),
        "several ports of one name",
    ),
    "a monitor that meets nothing": (
        lambda o: the(o, "Service", "web"),
        lambda service: service["metadata"].update(labels={}),
        "ServiceMonitor web meets nothing",
    ),
    "no disruption budget": (
        lambda o: the(o, "PodDisruptionBudget", "worker-routine"),
        in_spec(put(selector={"matchLabels": {"a": "b"}})),
        "0 PodDisruptionBudgets",
    ),
    "a grace shorter than a task": (
        deployment("worker-routine"),
        in_pod(put(terminationGracePeriodSeconds=30)),
        "its longest task",
    ),
    "no shared memory": (
        deployment("triton"),
        in_pod(lambda pod: pod["volumes"][0].update(emptyDir={})),
        "no /dev/shm",
    ),
    "a number said twice": (deployment("gateway"), in_spec(put(replicas=2)), "says its number"),
    "STAT falls to none": (
        lambda o: the(o, "ScaledObject", "worker-stat"),
        in_spec(put(minReplicaCount=0)),
        "fall to none",
    ),
    "pods that are not spread": (
        deployment("gateway"),
        in_pod(gone("topologySpreadConstraints")),
        "not spread",
    ),
    "nodes that are not spread": (
        stateful("state"), in_pod(gone("topologySpreadConstraints")), "state is not spread"
    ),
    "a sentinel without a probe": (
        node(1), gone("livenessProbe"), "state/sentinel has no livenessProbe"
    ),
    "a sentinel that may write its root": (
        node(1), gone("securityContext"), "state/sentinel may write its root"
    ),
    "a port that a sentinel does not open": (
        node(1), lambda c: c["ports"][0].update(containerPort=26380), "opens {26379}"
    ),
    "nodes that may not talk to each other": (
        lambda o: the(o, "NetworkPolicy", "state"),
        in_spec(lambda s: s["ingress"][0]["from"].pop()),
        "state may send to state:26379, which takes nothing",
    ),
    "sentinels that a gateway may not ask": (
        lambda o: the(o, "NetworkPolicy", "state"),
        in_spec(lambda s: s["ingress"][0].update(ports=[{"port": 6379}])),
        "gateway may send to state:26379, which takes nothing",
    ),
    "nodes without a name": (
        lambda o: the(o, "Service", "state-nodes"), in_spec(gone("clusterIP")), "names the pods"
    ),
    "nodes of another's name": (
        stateful("state"), in_spec(put(serviceName="gateway")), "names the pods"
    ),
    "nodes that lose their name": (
        lambda o: the(o, "Service", "state-nodes"),
        in_spec(gone("publishNotReadyAddresses")),
        "have no name",
    ),
    "nodes that share what they keep": (
        stateful("state"), in_spec(gone("volumeClaimTemplates")), "no claim of their own"
    ),
    "a mount of a volume that is not there": (
        node(0), lambda c: c["volumeMounts"][0].update(name="conf"), "state/state mounts no conf"
    ),
    "a field that Kubernetes does not know": (
        container("gateway"), put(resourcs={}), "Additional properties"
    ),
    "a field that KEDA does not know": (
        lambda o: the(o, "ScaledObject", "gateway"), in_spec(put(minReplicas=1)), "minReplicas"
    ),
    "a type that KEDA does not take": (
        lambda o: the(o, "ScaledObject", "gateway"),
        in_spec(put(minReplicaCount="two")),
        "must be integer",
    ),
    "a field that Prometheus' operator does not know": (
        lambda o: the(o, "PodMonitor", "cardex"),
        in_spec(lambda s: s["podMetricsEndpoints"][0].update(intervall="5s")),
        "intervall",
    ),
    "a mode that Milvus does not have": (
        lambda o: the(o, "Milvus", "cardex"), in_spec(put(mode="large")), "large"
    ),
}  # fmt: skip


def _containers(each):
    return pod_of(each)["containers"] if each["kind"] in ("Deployment", "StatefulSet") else []


def test_the_state_store_of_a_hospital_is_three_nodes_and_a_job_is_on_two(overlays):
    hospital = overlays["hospital"]
    maps = [each["data"] for each in hospital if name_of(each).startswith("cardex-settings")]
    nodes = the(hospital, "StatefulSet", "state")["spec"]
    assert [each["CARDEX_STATE_REPLICAS"] for each in maps] == ["1"]
    assert (nodes["replicas"], nodes["podManagementPolicy"]) == (3, "Parallel")
    alone = {(each["kind"], name_of(each)) for each in hospital}
    assert not alone & {(kind, "state") for kind in ("Deployment", "Service")}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_found(overlays, name):
    find, change, words = BREAKS[name]
    objects = copy.deepcopy(overlays["hospital"])
    where = find(objects)
    change(where)
    owner = next(each for each in objects if where is each or where in _containers(each))
    found = faults([owner]) or violations(objects)
    assert any(words in line for line in found), found
