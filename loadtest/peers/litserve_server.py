"""LitServe: two workers that compute batches of up to 16, and one process that speaks HTTP.

Its settings: payloads as the raw body, which FastAPI hands on unparsed; LitServe's fast queue
(ZeroMQ); a batch timeout of 5 ms, since without one a worker takes the first record alone; ONNX
Runtime and BLAS with one thread each, as each worker has a core.
"""

import argparse
from typing import Annotated

import litserve
from fastapi import Body, Response

from cardex.local_stack.ports import HOST
from loadtest.peers.work import Work, load_work

WORKERS = 2
BATCH = 16
BATCH_TIMEOUT_S = 0.005
Payload = Annotated[bytes, Body(media_type="application/octet-stream")]


class Records(litserve.LitAPI):
    """Answers batches of payloads with `Answer` messages."""

    work: Work

    def setup(self, device: str) -> None:
        """Load what a worker needs."""
        self.work = load_work()

    def decode_request(self, request: Payload) -> bytes:
        """Take the body as it is."""
        return request

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """Keep the payloads apart: only their images are joined."""
        return inputs

    def predict(self, x: list[bytes]) -> list[bytes]:
        """Answer a batch."""
        return self.work.answer(x)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        """Leave the answers apart."""
        return output

    def encode_response(self, output: bytes) -> Response:
        """Send the message as it is."""
        return Response(output, media_type="application/x-protobuf")


def main() -> None:
    """Serve on `--port`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    api = Records(max_batch_size=BATCH, batch_timeout=BATCH_TIMEOUT_S, api_path="/answer")
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=WORKERS, timeout=60,
        healthcheck_path="/ready", fast_queue=True,
    )  # fmt: skip
    server.run(
        host=HOST, port=parser.parse_args().port, num_api_servers=1, log_level="warning",
        generate_client_file=False, access_log=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
