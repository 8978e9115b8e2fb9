"""`python -m deploy.alerts`: writes the rules as the operator's resource; --check compares."""

import sys
from pathlib import Path

import yaml

from deploy.generated import kept

HERE = Path(__file__).parent
RULES, RESOURCE = HERE / "rules.yaml", HERE / "prometheusrule.yaml"


def resource() -> str:
    """Return the rules as a PrometheusRule."""
    found = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "cardex"},
        "spec": yaml.safe_load(RULES.read_text()),
    }
    head = "# Written by `python -m deploy.alerts` from rules.yaml.\n"
    return head + yaml.safe_dump(found, sort_keys=False, width=120)


if __name__ == "__main__":
    sys.exit(kept({RESOURCE: resource()}, check="--check" in sys.argv))
