"""Objects against the schemas of Kubernetes and of the operators, with no field unknown."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import kubernetes_validate

from deploy.checks.rendered import Object, name_of

VERSION = "1.32"
"""Of Kubernetes."""
CHECK = Path(__file__).parents[1] / "schemas" / "check.mjs"
OPERATORS = ("keda.sh", "monitoring.coreos.com", "milvus.io")


def faults(objects: Sequence[Object]) -> list[str]:
    """Return what no API server would take, in words.

    Raises:
        CalledProcessError: if the schemas of the operators are not installed: `make deploy-tools`.
    """
    extended = [each for each in objects if _group(each) in OPERATORS]
    plain = [each for each in objects if _group(each) not in OPERATORS]
    return [fault for each in plain if (fault := _fault(each))] + _of_operators(extended)


def _group(each: Object) -> str:
    return str(each["apiVersion"]).rpartition("/")[0]


def _fault(each: Object) -> str:
    try:
        kubernetes_validate.validate(each, VERSION, strict=True)
    except kubernetes_validate.SchemaNotFoundError as error:
        return f"{each['kind']} {name_of(each)}: {error.message}"
    except kubernetes_validate.ValidationError as error:
        place = ".".join(map(str, error.path))
        return f"{each['kind']} {name_of(each)}: {place}: {error.message}"
    return ""


def _of_operators(objects: Sequence[Object]) -> list[str]:
    if not objects:
        return []
    asked, command = json.dumps(list(objects)), ["node", str(CHECK)]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
