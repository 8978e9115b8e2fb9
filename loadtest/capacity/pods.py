"""What the manifests and Triton's configurations say: cores of a pod, replicas, batches."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from cardex.inference.repository import IMAGE_ENCODER, STAT_INSTANCE
from loadtest.capacity.cores import NICE_0, NICE_10
from loadtest.capacity.stations import Model

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy" / "kustomize" / "base"
MODELS = ROOT / "model_repository"


@dataclass(frozen=True, slots=True)
class Pod:
    """Cores of a pod.

    Attributes:
        reserved: cores that are kept for it, and paid for.
        most: cores that it may use.
    """

    reserved: float
    most: float


@cache
def pod(name: str) -> Pod:
    """Return the cores of a workload of deploy/kustomize/base."""
    for manifest in manifests(BASE / f"{name}.yaml"):
        if manifest["kind"] == "Deployment":
            (container,) = manifest["spec"]["template"]["spec"]["containers"]
            cpu = (container["resources"][kind]["cpu"] for kind in ("requests", "limits"))
            return Pod(*map(_cores, cpu))
    raise LookupError(f"{BASE / name}.yaml has no Deployment")


def manifests(path: Path) -> list[dict[str, Any]]:
    """Return the manifests of a file."""
    return [found for found in yaml.safe_load_all(path.read_text()) if found]


def _cores(cpu: str | int) -> float:
    text = str(cpu)
    return float(text[:-1]) / 1000.0 if text.endswith("m") else float(text)


@cache
def serving(target: str, cores: int) -> tuple[Model, Model]:
    """Return the routine and the STAT instances of a target of model_repository.

    Args:
        target: cpu or tensorrt.
        cores: that one Triton may use; its python backend shares them among the instances. A GPU
            counts as one.
    """
    return _model(IMAGE_ENCODER, target, cores), _model(STAT_INSTANCE, target, cores)


def _model(name: str, target: str, cores: int) -> Model:
    text = (MODELS / name / "configs" / f"{target}.pbtxt").read_text()
    config = text_format.Parse(text, ModelConfig())
    instances = sum(group.count for group in config.instance_group)
    gives_way = int(config.parameters["nice"].string_value or 0) > 0 or target == "tensorrt"
    return Model(
        max_batch=config.max_batch_size,
        batches=config.HasField("dynamic_batching"),
        delay_s=config.dynamic_batching.max_queue_delay_microseconds / 1e6,
        instances=instances,
        threads=float(max(1, cores // instances)),
        # A GPU's STAT stream has the highest priority, for which the weights of `nice` stand.
        weight=NICE_10 if gives_way and name == IMAGE_ENCODER else NICE_0,
    )
