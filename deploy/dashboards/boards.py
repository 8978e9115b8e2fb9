"""What each dashboard shows."""

from collections.abc import Sequence
from dataclasses import dataclass

MODELS = 'model=~"ecg_.*|report_.*"'


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram.

    Attributes:
        title: what it tells.
        unit: Grafana's name of the unit.
        queries: PromQL by legend.
        kind: Grafana's type of diagram.
    """

    title: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard.

    Attributes:
        name: of its file.
        title: shown on top.
        panels: in the order of reading, two in a row.
    """

    name: str
    title: str
    panels: Sequence[Panel]


def _rate(metric: str, by: str, matching: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{matching}}}[$__rate_interval]))"


def _increase(metric: str, by: str) -> str:
    return f"sum by ({by}) (increase({metric}[$__rate_interval]))"


def _quantile(share: float, metric: str, by: str = "le", matching: str = "") -> str:
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', by, matching)})"


def _ratio(above: str, below: str) -> str:
    return f"{above}\n/ {below}"


def _triton(metric: str) -> str:
    return _rate(f"nv_inference_{metric}", "model", MODELS)


SERVICE = Board(
    "service",
    "Cardex: service",
    (
        Panel("Calls", "reqps", {"{{method}}": _rate("cardex_requests_total", "method")}),
        Panel(
            "Calls that were refused",
            "reqps",
            {"{{outcome}}": _rate("cardex_requests_total", "outcome", 'outcome!="OK"')},
        ),
        Panel(
            "A bedside ECG, from call to answer",
            "s",
            {
                f"p{share * 100:g}": _quantile(share, "cardex_retrieve_seconds")
                for share in (0.5, 0.95, 0.99)
            },
        ),
        Panel(
            "Stages of an ECG, p95",
            "s",
            {"{{stage}}": _quantile(0.95, "cardex_stage_seconds", "le, stage")},
        ),
        Panel(
            "Calls that run",
            "short",
            {"{{method}}": "sum by (method) (cardex_requests_in_flight)"},
        ),
        Panel(
            "Share of ECGs whose answer was known",
            "percentunit",
            {
                "known": _ratio(
                    'sum(rate(cardex_answer_cache_total{outcome="hit"}[$__rate_interval]))',
                    "sum(rate(cardex_answer_cache_total[$__rate_interval]))",
                )
            },
        ),
    ),
)

QUEUES = Board(
    "queues",
    "Cardex: queues",
    (
        Panel("Jobs that wait", "short", {"{{queue}}": "max by (queue) (cardex_queue_depth)"}),
        Panel(
            "Age of the oldest",
            "s",
            {"{{queue}}": "max by (queue) (cardex_queue_oldest_age_seconds)"},
        ),
        Panel(
            "Jobs in workers' hands",
            "short",
            {"{{queue}}": "max by (queue) (cardex_queue_running)"},
        ),
        Panel(
            "Jobs that ended",
            "ops",
            {"{{queue}} {{outcome}}": _rate("cardex_jobs_total", "queue, outcome")},
        ),
        Panel(
            "Jobs taken together, mean",
            "short",
            {
                "{{queue}}": _ratio(
                    _rate("cardex_batch_size_sum", "queue"),
                    _rate("cardex_batch_size_count", "queue"),
                )
            },
        ),
        Panel(
            "Jobs of lost workers",
            "ops",
            {"{{queue}} {{outcome}}": _rate("cardex_swept_jobs_total", "queue, outcome")},
        ),
    ),
)

TRITON = Board(
    "triton",
    "Cardex: Triton",
    (
        Panel("Rows", "ops", {"{{model}}": _triton("count")}),
        Panel(
            "Rows of a batch, mean",
            "short",
            {"{{model}}": _ratio(_triton("count"), _triton("exec_count"))},
        ),
        Panel(
            "A request's time in the queue, mean",
            "µs",
            {"{{model}}": _ratio(_triton("queue_duration_us"), _triton("request_success"))},
        ),
        Panel(
            "A request's time of computing, mean",
            "µs",
            {"{{model}}": _ratio(_triton("compute_infer_duration_us"), _triton("request_success"))},
        ),
        Panel(
            "Requests that wait",
            "short",
            {"{{model}}": f"sum by (model) (nv_inference_pending_request_count{{{MODELS}}})"},
        ),
        Panel(
            "Requests that failed",
            "reqps",
            {
                "{{model}} {{reason}}": _rate(
                    "nv_inference_request_failure", "model, reason", MODELS
                )
            },
        ),
    ),
)

QUALITY = Board(
    "quality",
    "Cardex: what comes in, and how near its answers are",
    (
        Panel(
            "Similarity of the nearest report",
            "short",
            {"{{le}}": _increase("cardex_nearest_similarity_bucket", "le")},
            "heatmap",
        ),
        Panel(
            "Similarity of the nearest report, quantiles",
            "short",
            {
                f"p{share * 100:g}": _quantile(share, "cardex_nearest_similarity")
                for share in (0.1, 0.5, 0.9)
            },
        ),
        Panel(
            "Warnings an ECG",
            "short",
            {
                "{{warning}}": _ratio(
                    _rate("cardex_signal_warnings_total", "warning"),
                    "on () group_left () sum(rate(cardex_ecgs_total[$__rate_interval]))",
                )
            },
        ),
        Panel("ECGs by device", "ops", {"{{device}}": _rate("cardex_ecgs_total", "device")}),
        Panel(
            "Refused ECGs by device and reason",
            "ops",
            {"{{device}} {{reason}}": _rate("cardex_refused_ecgs_total", "device, reason")},
        ),
    ),
)

BOARDS = (SERVICE, QUEUES, TRITON, QUALITY)
