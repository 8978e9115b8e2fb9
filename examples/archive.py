"""A folder of ECGs as one routine batch: a line of JSON for each, as it is answered.

python examples/archive.py archive/ > answers.jsonl
"""

import json
import os
import sys

from cardex.api.client import Client


def main(folder: str) -> int:
    """Submit every recording below `folder`; returns how many failed."""
    failed = 0
    with Client(os.environ.get("CARDEX_GATEWAY_TARGET", "127.0.0.1:50051")) as client:
        for result in client.submit_folder(folder):
            if result.error:
                failed += 1
                line = {"file": result.name, "error": result.error.reason}
            else:
                nearest = result.answer.hits[0].report
                line = {"file": result.name, "nearest": nearest.report_id, "text": nearest.text}
            print(json.dumps(line), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1]) else 0)
