"""`make manifests`: renders every overlay, and says what is wrong with it."""

import sys
from collections import Counter

from deploy.checks.policy import violations
from deploy.checks.rendered import OVERLAYS, rendered
from deploy.checks.schemas import faults


def main() -> int:
    """Return 1 where something is wrong."""
    wrong = 0
    for overlay in OVERLAYS:
        objects = rendered(overlay)
        found = faults(objects) or violations(objects)
        kinds = Counter(str(each["kind"]) for each in objects)
        print(f"{overlay}: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}")
        for line in found:
            print(f"  {line}")
        wrong += len(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
