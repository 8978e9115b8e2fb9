"""BentoML: two worker processes with adaptive batching.

A batch is a list, and its requests are JSON: so a payload comes as base64, which its client makes
before the clock starts. Its settings: a process a core; batches of up to 16 within 30 s, a limit
that 64 requests in flight do not reach, since what would miss it is refused; neither metrics nor
access log; ONNX Runtime and BLAS with one thread each.
"""

import argparse
import base64
import os
import sys

import bentoml

from cardex.local_stack.ports import HOST
from loadtest.peers.work import load_work

WORKERS = 2
BATCH = 16
MAX_LATENCY_MS = 30_000


@bentoml.service(
    workers=WORKERS,
    traffic={"timeout": 60},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Records:
    """Answers batches of payloads with `Answer` messages, both as base64."""

    def __init__(self) -> None:
        """Load what a worker needs."""
        self._work = load_work()

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=MAX_LATENCY_MS)
    def answer(self, payloads: list[str]) -> list[str]:
        """Answer a batch."""
        messages = self._work.answer([base64.b64decode(payload) for payload in payloads])
        return [base64.b64encode(message).decode() for message in messages]


def main() -> None:
    """Serve on `--port`: become BentoML's own command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    command = [sys.executable, "-m", "bentoml", "serve", "loadtest.peers.bentoml_server:Records"]
    command += ["--host", HOST, "--port", str(parser.parse_args().port)]
    os.execv(sys.executable, command)  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main()
