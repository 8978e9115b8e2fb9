"""The REST interface against its own schema, by requests that the schema allows and forbids."""

import subprocess
import sys
from pathlib import Path

SEED, EXAMPLES = 20261124, 40


def test_the_interface_does_what_its_schema_says(stack):
    program = Path(sys.executable).parent / "schemathesis"
    done = subprocess.run(
        [
            program, "run", f"{stack.endpoints.web}/openapi.json", f"--max-examples={EXAMPLES}",
            f"--seed={SEED}", "--workers=1", "--no-color", "--generation-database=none",
        ],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
