"""Names the machine on which figures were measured."""

import os
import platform
from datetime import UTC, datetime


def machine() -> str:
    """Return how many cores this machine has, and of what kind; nothing runs on a GPU."""
    return f"{os.cpu_count()} cores ({platform.machine()}), no GPU"


def today() -> str:
    """Return the date in UTC, as YYYY-MM-DD."""
    return datetime.now(UTC).date().isoformat()
