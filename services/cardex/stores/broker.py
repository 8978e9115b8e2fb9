"""Celery's broker: its messages only wake a worker, the job records say what to do."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from cardex.domain.errors import Unavailable
from cardex.domain.jobs import Priority
from cardex.stores.redis import SentinelUrl

TASK = "cardex.consume"


def celery_app(broker_url: str) -> Celery:
    """Return the Celery application that gateway and worker share."""
    address, options = _behind_sentinels(broker_url)
    app = Celery("cardex", broker=address, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=False,  # a lost wake-up is found by the sweeper, a repeated one does nothing
        task_routes={TASK: {"queue": Priority.ROUTINE.value}},
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,  # a primary that nobody follows refuses even to wait
        broker_transport_options={
            "global_keyprefix": "cardex:celery:",
            "socket_timeout": 5.0,
            "socket_connect_timeout": 2.0,
            "socket_keepalive": True,
            "max_connections": 32,
            **options,
        },
    )
    return app


def _behind_sentinels(url: str) -> tuple[str, dict[str, Any]]:
    """Return Celery's addresses of a broker, and what else it is told."""
    behind = SentinelUrl.of(url)
    if behind is None:
        return url, {}
    user, password = (quote(part or "", safe="") for part in (behind.username, behind.password))
    login = f"{user}:{password}@" if password else ""
    addresses = [
        f"sentinel://{login}{host}:{port}/{behind.database}" for host, port in behind.addresses
    ]
    return ";".join(addresses), {
        "master_name": behind.master,
        "sentinel_kwargs": behind.asking,
    }


def notifier(app: Celery) -> Callable[[Priority], None]:
    """Return the function that wakes a worker of a queue by one message.

    It raises Unavailable where the broker is down.
    """

    def notify(priority: Priority) -> None:
        try:
            app.send_task(
                TASK, args=[priority.value], queue=priority.value, retry=False, ignore_result=True
            )
        except (OperationalError, RedisError, OSError) as error:
            raise Unavailable(
                f"the broker does not take a wake-up ({type(error).__name__})", retry_after_s=2.0
            ) from error

    return notify
