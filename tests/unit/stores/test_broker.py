import pytest
import redis
from kombu.exceptions import OperationalError

from cardex.domain.errors import Unavailable
from cardex.domain.jobs import Priority
from cardex.stores.broker import TASK, celery_app, notifier


@pytest.fixture
def app():
    """The application on a broker in this process."""
    app = celery_app("memory://")
    yield app
    app.close()


def waiting(app, priority: Priority) -> list[tuple[str, list[str]]]:
    """Take the messages of a queue: task and arguments of each."""
    found = []
    with app.connection_for_read() as connection, connection.SimpleQueue(priority.value) as queue:
        while len(queue):
            message = queue.get(block=False)
            message.ack()
            arguments, *_ = message.payload
            found.append((message.headers["task"], arguments))
    return found


@pytest.mark.parametrize("priority", Priority)
def test_a_message_goes_to_the_queue_of_its_priority_and_no_other(app, priority):
    notifier(app)(priority)
    assert {queue: waiting(app, queue) for queue in Priority} == {
        queue: [(TASK, [queue.value])] if queue is priority else [] for queue in Priority
    }


@pytest.mark.parametrize(
    "error",
    [OperationalError("no broker"), redis.ConnectionError("refused"), OSError("reset")],
    ids=lambda error: type(error).__name__,
)
def test_a_broker_that_is_down_is_unavailable(app, monkeypatch, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(app, "send_task", fails)
    with pytest.raises(Unavailable, match=type(error).__name__) as caught:
        notifier(app)(Priority.STAT)
    assert caught.value.retry_after_s
    assert caught.value.__cause__ is error
