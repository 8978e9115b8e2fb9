"""A plain Celery pipeline: one task a record, through Valkey as broker and result store.

Its settings: two forked worker processes, a core each, which take tasks four at a time;
pickled arguments, since JSON would make base64 of the bytes; Valkey without a file, so that a crash
of it loses what it holds; ONNX Runtime and BLAS with one thread each.
"""

import argparse

from celery import Celery
from celery.signals import worker_process_init

from loadtest.peers.work import Work, load_work

WORKERS = 2
PREFETCH = 4
TASK = "answer"
_loaded: list[Work] = []


def celery_app(url: str) -> Celery:
    """Return the application of workers and clients."""
    app = Celery("peer", broker=url, backend=url)
    app.conf.update(
        task_serializer="pickle", result_serializer="pickle", accept_content=["pickle"],
        worker_prefetch_multiplier=PREFETCH, worker_proc_alive_timeout=60.0,
        broker_connection_retry_on_startup=True,
    )  # fmt: skip

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def answer(payload: bytes) -> bytes:
        (message,) = _loaded[0].answer([payload])
        return message

    return app


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _load(**_: object) -> None:
    _loaded.append(load_work())


def main() -> None:
    """Work for the broker at `--broker`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--broker", required=True)
    celery_app(parser.parse_args().broker).worker_main(
        [
            "worker", "--pool=prefork", f"--concurrency={WORKERS}", "--loglevel=warning",
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        ]
    )  # fmt: skip


if __name__ == "__main__":
    main()
