"""Scaling that follows the work: the rules of KEDA and the autoscaler, and an archive's night."""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from loadtest.capacity.pods import ROOT, manifests

FOLDER = ROOT / "deploy" / "kustomize" / "components" / "autoscaling"
SYNC_S = 15.0
"""The autoscaler looks so often (--horizontal-pod-autoscaler-sync-period, its default)."""
TOLERANCE = 0.1
"""Within so much of a threshold the count stays (--horizontal-pod-autoscaler-tolerance)."""
UP_PODS, UP_FACTOR = 4, 2
"""It adds at most so many pods, or doubles them, in one look: the default policy."""
START_S = 20.0
"""From its creation until a worker's pod is ready: assumed, with the image on the node."""
STEP_S = 1.0
COOLDOWN_S, POLLING_S, DOWN_WINDOW_S = 300, 30, 300
"""KEDA's and the autoscaler's defaults, where a manifest says nothing."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """One measure that asks for pods.

    Attributes:
        threshold: of the measure; of each pod's share of it where `is_average`.
        is_average: True for AverageValue, False for Value.
        activation: over it the first pod is started.
    """

    threshold: float
    is_average: bool
    activation: float = 0.0

    def wanted(self, now: int, value: float) -> int:
        """Return how many pods this measure asks for where there are `now`."""
        if self.is_average:
            ratio = value / (self.threshold * max(1, now))
        else:
            ratio = value / self.threshold
        if abs(ratio - 1.0) <= TOLERANCE:
            return now
        return math.ceil(ratio * max(1, now) - 1e-9)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a ScaledObject says.

    Attributes:
        least: pods that are always there.
        most: pods at most.
        polling_s: how often KEDA looks whether the first pod is needed.
        cooldown_s: how long nothing is to do before the last one goes.
        down_window_s: for so long the highest wish counts before pods are taken away.
        down_share: share of the pods that is taken away in `down_period_s`; 1 where any may be.
        down_period_s: seconds.
        triggers: the measures.
    """

    least: int
    most: int
    polling_s: float
    cooldown_s: float
    down_window_s: float
    down_share: float
    down_period_s: float
    triggers: tuple[Trigger, ...]


@cache
def rule(workload: str) -> Rule:
    """Return the rule of a workload from deploy/kustomize/components/autoscaling.

    Raises:
        LookupError: if it has none.
    """
    for path in sorted(FOLDER.glob("*.yaml")):
        for manifest in manifests(path):
            if manifest["kind"] == "ScaledObject" and manifest["metadata"]["name"] == workload:
                return _rule(manifest["spec"])
    raise LookupError(f"{workload} has no ScaledObject in {FOLDER}")


def _rule(spec: dict[str, Any]) -> Rule:
    own = spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", {}).get("behavior", {})
    down = own.get("scaleDown", {})
    (policy,) = down.get("policies", [{"value": 100, "periodSeconds": SYNC_S}])
    return Rule(
        least=spec["minReplicaCount"],
        most=spec["maxReplicaCount"],
        polling_s=float(spec.get("pollingInterval", POLLING_S)),
        cooldown_s=float(spec.get("cooldownPeriod", COOLDOWN_S)),
        down_window_s=float(down.get("stabilizationWindowSeconds", DOWN_WINDOW_S)),
        down_share=policy["value"] / 100.0,
        down_period_s=float(policy["periodSeconds"]),
        triggers=tuple(map(_trigger, spec["triggers"])),
    )


def _trigger(spec: dict[str, Any]) -> Trigger:
    metadata = spec["metadata"]
    return Trigger(
        float(metadata["threshold"]),
        spec["metricType"] == "AverageValue",
        float(metadata.get("activationThreshold", 0.0)),
    )


class Autoscaler:
    """How many pods of a workload there are, as time goes on."""

    def __init__(self, workload: Rule, start_s: float = START_S) -> None:
        """Begin with the least number, all ready."""
        self._rule, self._start_s = workload, start_s
        self._ready_at = [0.0] * workload.least
        self._wishes: deque[tuple[float, int]] = deque()
        self._removed: deque[tuple[float, int]] = deque()
        self._next_poll = self._next_sync = self._last_active = 0.0

    @property
    def pods(self) -> int:
        """Pods that there are, ready or not."""
        return len(self._ready_at)

    def ready(self, now: float) -> int:
        """Return how many pods work."""
        return sum(at <= now for at in self._ready_at)

    def look(self, now: float, values: Sequence[float]) -> None:
        """Let time pass to `now`, where the triggers' measures have these values."""
        if now >= self._next_poll:
            self._next_poll = now + self._rule.polling_s
            self._poll(now, values)
        if now >= self._next_sync:
            self._next_sync = now + SYNC_S
            if self.pods:
                self._sync(now, values)

    def _poll(self, now: float, values: Sequence[float]) -> None:
        """KEDA: the first pod, and the last."""
        if self._rule.least:
            return
        pairs = zip(self._rule.triggers, values, strict=True)
        if any(value > trigger.activation for trigger, value in pairs):
            self._last_active = now
            if not self.pods:
                self._set(now, 1)
        elif self.pods and now - self._last_active >= self._rule.cooldown_s:
            self._set(now, 0)

    def _sync(self, now: float, values: Sequence[float]) -> None:
        """The autoscaler: as many as the measures ask for, within its policies."""
        least, most = max(1, self._rule.least), self._rule.most
        pairs = zip(self._rule.triggers, values, strict=True)
        wanted = max(trigger.wanted(self.pods, value) for trigger, value in pairs)
        wanted = min(max(wanted, least), most)
        self._wishes.append((now, wanted))
        while self._wishes[0][0] < now - self._rule.down_window_s:
            self._wishes.popleft()
        if wanted > self.pods:
            self._set(now, min(wanted, max(UP_FACTOR * self.pods, self.pods + UP_PODS)))
            return
        highest = max(wish for _, wish in self._wishes)
        if highest < self.pods:
            self._set(now, max(highest, self.pods - self._may_go(now)))

    def _may_go(self, now: float) -> int:
        while self._removed and self._removed[0][0] <= now - self._rule.down_period_s:
            self._removed.popleft()
        gone = sum(count for _, count in self._removed)
        return max(0, math.ceil(self._rule.down_share * (self.pods + gone)) - gone)

    def _set(self, now: float, count: int) -> None:
        if count < self.pods:
            self._removed.append((now, self.pods - count))
            self._ready_at = sorted(self._ready_at)[:count]
        else:
            self._ready_at += [now + self._start_s] * (count - self.pods)


@dataclass(slots=True)
class Course:
    """How an archive went, second by second.

    Attributes:
        done_s: when the last record was answered; infinite where it was not within the time.
        pod_hours: of the workers.
        most: workers at most.
        pods: of each step.
        waiting: records in the queue, of each step.
    """

    done_s: float = math.inf
    pod_hours: float = 0.0
    most: int = 0
    pods: list[int] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)


def night_of(
    records: float,
    rate_of: Callable[[int], float],
    scaler: Autoscaler,
    *,
    intake_per_s: float,
    backlog: float,
    within_s: float,
) -> Course:
    """Follow an archive through a night, as a fluid: records flow, and no single one is simulated.

    Args:
        records: of the archive; they come as fast as they are taken in.
        rate_of: records/s of so many workers.
        scaler: of the routine workers, with triggers on the queue's depth and its oldest age.
        intake_per_s: what gateways and state store take in.
        backlog: records that may wait: CARDEX_MAX_BACKLOG.
        within_s: how long to follow.
    """
    course, came, done, curve = Course(), 0.0, 0.0, [0.0]
    for step in range(int(within_s / STEP_S)):
        now = step * STEP_S
        came = min(records, came + intake_per_s * STEP_S, done + backlog)
        curve.append(came)
        oldest = min(bisect_right(curve, done), len(curve) - 1)
        age = now - (oldest - 1) * STEP_S if came > done else 0.0
        scaler.look(now, (came - done, max(0.0, age)))
        done = min(came, done + rate_of(scaler.ready(now)) * STEP_S)
        course.pods.append(scaler.pods)
        course.waiting.append(came - done)
        course.pod_hours += scaler.pods * STEP_S / 3600.0
        course.most = max(course.most, scaler.pods)
        if done >= records - 1e-6:
            course.done_s = min(course.done_s, now + STEP_S)
            if not scaler.pods:
                break
    return course
