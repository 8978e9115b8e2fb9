"""When and on what machine figures were measured."""

import os
import platform
from datetime import UTC, datetime


def provenance(device: str = "cpu") -> dict[str, str]:
    """Return "date" and "machine"; `device` is what computed besides the CPU, if anything did."""
    gpu = "no GPU" if device == "cpu" else device
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores ({platform.machine()}), {gpu}",
    }
