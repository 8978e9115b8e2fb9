"""The alerts on what Prometheus read of real faults, replayed by promtool."""

import re
import shutil
import subprocess

import pytest
import yaml

from loadtest.alerts import RECORDED, metrics_of
from loadtest.faults import PROVOKED
from loadtest.prometheus import RULES, in_expression, scaled
from tests.helpers.real import ROOT

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool here: `make deploy-tools`"
)

FOUND = yaml.safe_load(RULES.read_text())
ALERTS = [rule["alert"] for group in FOUND["groups"] for rule in group["rules"]]


def replayed(folder) -> subprocess.CompletedProcess[str]:
    command = ["promtool", "test", "rules", str(folder / RECORDED.name)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_each_alert_fires_on_its_fault_and_none_in_an_hour_of_normal_traffic():
    done = replayed(RULES.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_was_provoked_and_recorded():
    recorded = [test["name"] for test in yaml.safe_load(RECORDED.read_text())["tests"]]
    assert sorted(recorded) == sorted([*ALERTS, "an hour of normal traffic"])
    assert set(PROVOKED) == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_that_never_fires_is_noticed(alert, tmp_path):
    """Each recording is of its own rule: without it the replay fails."""
    rules = {
        "groups": [
            {**group, "rules": [rule for rule in group["rules"] if rule["alert"] != alert]}
            for group in FOUND["groups"]
        ]
    }
    (tmp_path / RULES.name).write_text(yaml.safe_dump(rules))
    shutil.copy(RECORDED, tmp_path)
    done = replayed(tmp_path)
    assert done.returncode != 0
    assert alert in done.stdout + done.stderr


def test_each_alert_has_a_section_for_who_is_woken():
    page = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"^### (Cardex\w+)$", page, re.MULTILINE)) == set(ALERTS)


def test_the_durations_of_rules_are_made_shorter_and_nothing_else():
    found = scaled(FOUND, 60)["groups"][0]["rules"]
    assert [rule["alert"] for rule in found] == ALERTS
    assert in_expression("max(rate(x_bucket[5m])) > 2", 60) == "max(rate(x_bucket[5000ms])) > 2"
    assert in_expression("min_over_time(x[10m:])", 60) == "min_over_time(x[10000ms:])"


def test_the_metrics_of_the_rules_are_known():
    assert "cardex_queue_oldest_age_seconds" in metrics_of(FOUND)
    assert all(name.startswith(("cardex_", "nv_inference_")) for name in metrics_of(FOUND))
