"""`python -m deploy.dashboards`: writes the dashboards as Grafana reads them; --check compares."""

import json
import sys
from pathlib import Path
from typing import Any

from deploy.dashboards.boards import BOARDS, Board, Panel
from deploy.generated import kept

HERE = Path(__file__).parent
SCHEMA = 39
"""Of Grafana 11."""
WIDTH, HEIGHT = 12, 8
SOURCE = {"type": "prometheus", "uid": "${source}"}


def grafana(board: Board) -> dict[str, Any]:
    """Return a dashboard in Grafana's JSON model."""
    choice = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": f"cardex-{board.name}",
        "title": board.title,
        "tags": ["cardex"],
        "schemaVersion": SCHEMA,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [choice]},
        "panels": [_panel(place, panel) for place, panel in enumerate(board.panels)],
    }


def _panel(place: int, panel: Panel) -> dict[str, Any]:
    at = {"x": place % 2 * WIDTH, "y": place // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT}
    heat = panel.kind == "heatmap"
    return {
        "id": place + 1,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": at,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": query,
                "legendFormat": legend,
                "format": "heatmap" if heat else "time_series",
            }
            for number, (legend, query) in enumerate(panel.queries.items())
        ],
    }


if __name__ == "__main__":
    texts = {
        HERE / f"{board.name}.json": json.dumps(grafana(board), indent=1) + "\n" for board in BOARDS
    }
    sys.exit(kept(texts, check="--check" in sys.argv))
