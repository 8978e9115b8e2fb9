"""The worker process: Celery with a thread pool.

Threads, not forks: gRPC clients do not survive a fork, and numpy, Triton and Milvus release the
GIL. More throughput comes from more processes.
"""

import logging
import os
from contextlib import suppress
from functools import partial
from pathlib import Path

from celery import Celery
from celery.signals import worker_ready, worker_shutting_down
from threadpoolctl import threadpool_limits

from cardex.domain.errors import Unavailable
from cardex.domain.jobs import Priority
from cardex.domain.settings import Settings
from cardex.inference.encoder import Encoder
from cardex.retrieval.dependencies import assemble
from cardex.signals.readers import warm_up
from cardex.stores.broker import TASK, celery_app
from cardex.telemetry.metrics import serve_metrics
from cardex.telemetry.probes import mark_alive, mark_ready, mark_starting, mark_stopping
from cardex.telemetry.tracing import start_tracing
from cardex.worker.consumer import JobConsumer

logger = logging.getLogger(__name__)

ROUTINE_NICE = 10
"""An import gives way to bedside ECGs and the gateway where cores are scarce, as in Triton."""
LINGER_S = 300.0
"""A worker that was idle for so long goes back to Celery, which wakes it again."""


def run_worker(settings: Settings, queue: Priority, name: str) -> None:
    """Serve one queue until SIGTERM; jobs in hand are finished first."""
    mark_starting(settings)
    if queue is Priority.ROUTINE:
        _give_way()
    app = worker_app(settings)
    serve_metrics(settings)
    start_tracing("worker")
    app.worker_main(
        [
            "worker", "--pool=threads", f"--concurrency={settings.worker_threads}",
            f"--queues={queue.value}", f"--hostname={name}@%h", "--without-gossip",
            "--without-mingle", "--disable-prefetch", f"--loglevel={settings.log_level}",
        ]
    )  # fmt: skip


def _give_way() -> None:
    """Lower this process's priority, and that of its session.

    Where the kernel groups processes by session (autogroup), a process's own priority counts only
    among those of its session, which here is alone in its.
    """
    os.nice(ROUTINE_NICE)
    with suppress(OSError):  # a kernel without autogroups has no such file
        Path("/proc/self/autogroup").write_text(str(ROUTINE_NICE))


def check_models(encoder: Encoder) -> None:
    """Look at what is served before any job is taken; a server that is down may come later.

    Raises:
        ConfigurationError: if names, types or shapes are not what this process sends and reads.
        VersionMismatch: if models and tokenizer do not belong together.
    """
    try:
        models = encoder.models()
    except Unavailable as error:
        logger.warning("%s; jobs wait until it is there", error.message)
    else:
        logger.info("served: %s", ", ".join(model.version for model in models))


def worker_app(settings: Settings) -> Celery:
    """Return a Celery application whose task consumes a queue.

    Raises:
        ConfigurationError: if a setting or what Triton serves is wrong.
        VersionMismatch: if Triton's models do not belong together.
    """
    warm_up()
    # Threads of BLAS wait by spinning, for products that one thread ends in a millisecond.
    threadpool_limits(1, user_api="blas")
    dependencies = assemble(settings)
    check_models(dependencies.encoder)
    dependencies.active_index.on_found = dependencies.retriever.read_ahead
    dependencies.active_index.start()
    app = celery_app(settings.state_url)
    consumer = JobConsumer(
        dependencies.jobs,
        dependencies.retriever,
        dependencies.active_index,
        {Priority.STAT: settings.stat_batch, Priority.ROUTINE: settings.routine_batch},
        linger_s=LINGER_S,
        on_beat=partial(mark_alive, settings),
    )

    @app.task(name=TASK)
    def take(queue: str) -> None:
        try:
            consumer.run(Priority(queue))
        except (
            Unavailable
        ) as error:  # the state store: leases end, and the sweep hands the jobs out again
            logger.warning("the queue is left for now: %s", error.message)

    @worker_ready.connect(weak=False)
    def ready(**_: object) -> None:
        mark_ready(settings)

    @worker_shutting_down.connect(weak=False)
    def stop(**_: object) -> None:
        consumer.stopping.set()
        mark_stopping(settings)

    return app
