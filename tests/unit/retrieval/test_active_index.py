import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from cardex.domain.errors import IndexMissing, Unavailable, VersionMismatch
from cardex.retrieval import active_index as module
from cardex.retrieval.active_index import PERIOD_S, STALE_S, ActiveIndex
from tests.helpers.fake_clock import FakeClock
from tests.helpers.fake_encoder import FakeEncoder
from tests.helpers.fake_model import calibration, model_info
from tests.helpers.fake_store import FakeStore
from tests.helpers.fresh_active_index import FreshActiveIndex


@pytest.fixture
def clock(monkeypatch):
    return FakeClock.installed(monkeypatch, module)


@pytest.fixture
def parts():
    return SimpleNamespace(encoder=FakeEncoder(), store=FakeStore())


@pytest.fixture
def index(clock, parts):
    return ActiveIndex(parts.encoder, parts.store)


def test_a_snapshot_is_a_model_and_the_index_built_with_it(index, parts):
    index.refresh()
    snapshot = index.current()
    assert snapshot.model == model_info()
    assert snapshot.index == parts.store.current()


def test_readers_look_nothing_up(index, parts):
    index.refresh()
    for _ in range(3):
        index.current()
        index.last_known()
    assert parts.store.calls == ["current"]


def test_a_refresh_finds_what_changed(index, parts):
    index.refresh()
    parts.store.touch(parts.store.index)
    assert index.current().index.generation == "g1"
    index.refresh()
    assert index.current().index.generation == "g1+"


def test_nothing_is_known_before_the_first_look_up(index):
    assert index.last_known() is None
    with pytest.raises(Unavailable, match="not known yet"):
        index.current()


def test_where_there_is_no_snapshot_one_can_be_waited_for(index, parts):
    assert index.current_or_looked_up().index.name == "reports_1"
    index.current_or_looked_up()
    assert parts.store.calls == ["current"]


def test_an_index_of_another_model_is_refused_with_both_versions(parts):
    index = FreshActiveIndex(parts.encoder, FakeStore("model-0"))
    with pytest.raises(VersionMismatch, match=r"model-1.*reports_1.*model-0"):
        index.current()
    known = index.last_known_index()
    assert known is not None
    assert known.model_version == "model-0"


def test_a_refusal_names_every_model_that_is_served(parts):
    parts.encoder.served = (model_info("model-2"), model_info("model-1"))
    index = FreshActiveIndex(parts.encoder, FakeStore("model-0"))
    with pytest.raises(VersionMismatch, match=r"model-2 and model-1.*model-0"):
        index.current()


def test_the_index_decides_which_of_the_served_models_answers(parts):
    parts.encoder.served = (model_info("model-2"), model_info("model-1"))
    index = FreshActiveIndex(parts.encoder, parts.store)
    assert index.current().model.version == "model-1"
    parts.store.index = replace(parts.store.index, model_version="model-2")
    assert index.current().model.version == "model-2"


def test_a_model_that_was_deployed_just_now_is_found(index, parts):
    parts.store.index = replace(parts.store.index, model_version="model-2")
    parts.encoder.arriving = (model_info("model-2"),)
    index.refresh()
    assert index.current().model.version == "model-2"


def test_the_server_is_not_asked_anew_for_a_model_that_is_known(index, parts):
    index.refresh()
    assert parts.encoder.looks == 0


def test_a_missing_index_and_a_part_that_is_down_are_told_apart(parts):
    index = FreshActiveIndex(parts.encoder, parts.store)
    there, parts.store.index = parts.store.index, None
    with pytest.raises(IndexMissing):
        index.current()
    parts.store.index, parts.encoder.error = there, Unavailable("Triton is down")
    with pytest.raises(Unavailable, match="Triton is down"):
        index.current()


def test_the_last_snapshot_is_known_while_a_part_is_down(index, parts):
    index.refresh()
    snapshot = index.current()
    parts.encoder.error = Unavailable("Triton is down")
    index.refresh()
    assert index.last_known() == snapshot
    with pytest.raises(Unavailable, match="Triton is down"):
        index.current()


@pytest.mark.parametrize(
    "now", [None, FakeStore("model-0").index], ids=["no index", "an index of another model"]
)
def test_what_is_no_longer_in_force_is_not_known_any_more(index, parts, now):
    index.refresh()
    parts.store.index = now
    index.refresh()
    assert index.last_known() is None


def test_a_failed_call_is_the_state_of_things_until_the_next_look_up(index):
    index.refresh()
    index.suspect(Unavailable("Milvus is down"))
    with pytest.raises(Unavailable, match="Milvus is down"):
        index.current()
    assert index.last_known() is not None
    index.refresh()
    assert index.current()


def test_a_look_up_that_does_not_end_is_said_and_the_last_snapshot_stays(index, clock):
    index.refresh()
    snapshot = index.current()
    clock.now += PERIOD_S + STALE_S
    assert index.current() == snapshot
    clock.now += 0.1
    with pytest.raises(Unavailable, match="has not answered for 5 s"):
        index.current()
    assert index.last_known() == snapshot


# In the background.


class HangingStore(FakeStore):
    """Answers the first look-up, and hangs in the next until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs, self.go_on = threading.Event(), threading.Event()

    def current(self):
        if self.calls:
            self.hangs.set()
            assert self.go_on.wait(20)
        return super().current()


def test_readers_do_not_wait_for_a_store_that_hangs(parts):
    store = HangingStore()
    index = ActiveIndex(parts.encoder, store, period_s=0.01)
    index.start()
    try:
        assert store.hangs.wait(20)
        # If readers looked the snapshot up, or took a lock for it, this would hang too.
        assert index.current() == index.last_known()
    finally:
        index.close()
        store.go_on.set()


def test_an_unforeseen_error_does_not_end_the_looking_up(parts, caplog):
    seen = threading.Event()

    class Store(FakeStore):
        def current(self):
            if len(self.calls) == 1:
                self.calls.append("broke")
                raise ZeroDivisionError
            if len(self.calls) > 1:
                seen.set()
            return super().current()

    index = ActiveIndex(parts.encoder, Store(), period_s=0.01)
    index.start()
    assert seen.wait(20)
    index.close()
    assert "ZeroDivisionError" in caplog.text


# Calibrated statements.


def calibrated(parts) -> ActiveIndex:
    """An index of statements that say which model they are of."""
    return FreshActiveIndex(
        parts.encoder,
        parts.store,
        lambda model: calibration("AFIB", "SR", version=model.version),
    )


def test_the_prompts_are_embedded_once(parts):
    index = calibrated(parts)
    first = index.current()
    assert index.current().predictor is first.predictor
    assert parts.encoder.texts == [["AFIB", "SR"]]


def test_the_statements_are_those_of_the_model_in_force(parts):
    index = calibrated(parts)
    for version in ("model-1", "model-2"):
        parts.encoder.served = (model_info("model-2"), model_info("model-1"))
        parts.store.index = replace(parts.store.index, model_version=version)
        found = index.current().calibration
        assert found is not None
        assert found.model_version == version
    assert parts.encoder.asked == ["model-1", "model-2"]


def test_statements_that_do_not_fit_are_asked_for_again(parts):
    fit = False

    def statements_of(model):
        if not fit:
            raise VersionMismatch("statements of another model")
        return calibration("AFIB")

    index = FreshActiveIndex(parts.encoder, parts.store, statements_of)
    with pytest.raises(VersionMismatch, match="statements of another model"):
        index.current()
    fit = True
    assert index.current().predictor is not None


def test_everything_that_an_answer_depends_on_is_in_the_version(parts):
    plain = FreshActiveIndex(parts.encoder, parts.store).current()
    parts.encoder.served = (model_info(matcher=True),)
    matching = FreshActiveIndex(parts.encoder, parts.store).current()
    assert len({plain.version, matching.version, calibrated(parts).current().version}) == 3


def test_each_snapshot_that_is_found_is_told_and_no_other(index, parts):
    told: list[str] = []
    index.on_found = lambda snapshot: told.append(snapshot.index.generation)
    index.refresh()
    parts.store.error = Unavailable("Milvus is down")
    index.refresh()
    parts.store.error = None
    index.refresh()
    assert told == ["g1", "g1"]
