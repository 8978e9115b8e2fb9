"""The manifests of an overlay as kubectl renders them."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml

KUSTOMIZE = Path(__file__).parents[1] / "kustomize"
OVERLAYS = ("dev", "hospital", "region")

Object: TypeAlias = Mapping[str, Any]


def rendered(overlay: str) -> list[dict[str, Any]]:
    """Return the objects of an overlay.

    Raises:
        CalledProcessError: if kubectl refuses it; its reason is in `stderr`.
        FileNotFoundError: if there is no kubectl.
    """
    command = ["kubectl", "kustomize", str(KUSTOMIZE / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


def of_kind(objects: Sequence[Object], *kinds: str) -> Iterator[Object]:
    """Yield the objects of some kinds."""
    return (each for each in objects if each["kind"] in kinds)


def name_of(each: Object) -> str:
    """Return an object's name."""
    return str(each["metadata"]["name"])


def labels_of(workload: Object) -> Mapping[str, str]:
    """Return the labels of a workload's pods."""
    labels: Mapping[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def pod_of(workload: Object) -> Mapping[str, Any]:
    """Return the pod's specification."""
    pod: Mapping[str, Any] = workload["spec"]["template"]["spec"]
    return pod


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a label selector meets labels; an empty one meets all."""
    wanted = selector.get("matchLabels", {}).items()
    return all(labels.get(key) == value for key, value in wanted) and all(
        _expressed(each, labels) for each in selector.get("matchExpressions", ())
    )


def _expressed(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    if expression["operator"] != "In":
        raise NotImplementedError(expression["operator"])
    return labels.get(expression["key"]) in expression["values"]
