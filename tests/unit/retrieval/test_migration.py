from dataclasses import replace

import numpy as np
import pytest

from cardex.domain.errors import IndexMissing, Unavailable, VersionMismatch
from cardex.domain.index import IndexInfo
from cardex.domain.jobs import Priority
from cardex.domain.reports import Report, Statement
from cardex.domain.trace import Trace
from cardex.retrieval.migration import PASSES, Migration
from cardex.signals.images import image_of
from cardex.signals.readers import read
from cardex.signals.trace import trace_of, waveform_of
from cardex.stores.case_index import CaseRow
from tests.helpers.cases import a_case, row_of, vectors
from tests.helpers.ecgs import ecg, typed
from tests.helpers.embeddings import text_vector
from tests.helpers.fake_encoder import FakeEncoder
from tests.helpers.fake_model import model_info
from tests.helpers.house import House

REPORTS = [
    Report(f"r{number}", text, "en", (f"record-{number}",), 1, (Statement("SR"),))
    for number, text in enumerate(["sinus rhythm", "old infarct", "left axis", "paced", "normal"])
]
LATE = Report("late", "atrial fibrillation")


@pytest.fixture
def house():
    """Five reports by model-1, which answers; model-2 is served beside it."""
    house = House(*REPORTS)
    house.encoder.served = (model_info("model-2"), model_info("model-1"))
    return house


def migration(house, version: str = "model-2") -> Migration:
    return Migration(house.encoder, house.store, version, house.require)


def migrated(house, version: str = "model-2") -> Migration:
    """Return a migration that was run and made to answer."""
    done = migration(house, version)
    list(done.run())
    done.commit()
    return done


def changed(house, *reports: Report, gone: str = "") -> None:
    """Change the index in force as the gateway does."""
    index = house.store.current()
    for report in reports:
        house.store.upsert(index, [report], [text_vector(report.text)])
    house.store.delete(index, [gone])
    house.store.touch(index)


# A new index.


def test_the_new_index_has_the_same_reports(house):
    made = migrated(house)
    assert house.store.reports(made.index.name) == house.store.reports("reports_1")


def test_every_report_is_embedded_by_the_other_model(house):
    made = migrated(house)
    assert made.index.model_version == "model-2"
    assert set(house.encoder.asked) == {"model-2"}
    for report, vector in house.store.contents[made.index.name].values():
        np.testing.assert_array_equal(vector, text_vector(report.text, "model-2"))


def test_a_migration_gives_way_to_ecgs(house):
    migrated(house)
    assert set(house.encoder.priorities) == {Priority.ROUTINE}


def test_its_vectors_have_the_length_of_the_other_model(house):
    house.encoder.served = (model_info("model-2", dimension=16), model_info("model-1"))
    assert migrated(house).index.dimension == 16


def test_progress_is_told_page_by_page(house):
    steps = migration(house)
    assert list(steps.run())[:3] == [2, 4, 5]
    assert (steps.stored, steps.total) == (5, 5)


def test_an_empty_index_is_migrated_too():
    house = House()
    house.encoder.served = (model_info("model-2"), model_info("model-1"))
    assert migrated(house).stored == 0
    assert house.store.current().model_version == "model-2"


def test_the_old_index_answers_until_the_commit(house):
    made = migration(house)
    list(made.run())
    assert house.store.current().name == "reports_1"
    assert made.commit() == house.store.current() == made.index


def test_the_old_index_is_not_changed(house):
    before = house.store.index
    migrated(house)
    assert house.store.indexes["reports_1"] == before
    assert list(house.store.contents["reports_1"]) == [report.report_id for report in REPORTS]


def test_the_generation_of_the_new_index_changes_after_its_contents_have(house):
    made = migrated(house)
    assert made.index.generation != house.store.create("model-2", 8).generation
    calls = house.store.calls[::-1]
    assert calls.index("touch") < min(calls.index("upsert"), calls.index("delete"))


def test_a_lost_right_to_write_ends_it_before_the_next_write(house):
    steps = migration(house)
    running = steps.run()
    next(running)
    house.lost = True
    before = dict(house.store.reports(steps.index.name))
    with pytest.raises(Unavailable):
        list(running)
    assert house.store.reports(steps.index.name) == before


def test_a_lost_right_to_write_is_no_commit(house):
    made = migration(house)
    list(made.run())
    house.lost = True
    with pytest.raises(Unavailable):
        made.commit()
    assert house.store.current().name == "reports_1"
    house.lost = False
    made.abandon()
    assert made.index.name not in house.store.indexes


# An index that is there already.


def test_on_the_way_back_nothing_is_embedded_again(house):
    migrated(house)
    house.encoder.asked.clear()
    assert migrated(house, "model-1").index.name == "reports_1"
    assert house.encoder.asked == []


def test_a_migration_made_ready_earlier_is_taken_as_it_is(house):
    shadow = migration(house)
    list(shadow.run())
    house.encoder.asked.clear()
    again = migration(house)
    assert list(again.run()) == [5]
    assert again.index == shadow.index
    assert house.encoder.asked == []


def test_to_the_model_in_force_there_is_nothing_to_do(house):
    assert migrated(house, "model-1").index.name == "reports_1"
    assert house.encoder.asked == []
    assert "create" not in house.store.calls


def test_an_index_whose_reports_are_others_by_now_is_not_taken(house):
    old = migrated(house).index
    migrated(house, "model-1")
    changed(house, LATE)
    made = migrated(house)
    assert made.index.name != old.name
    assert LATE.report_id in house.store.reports(made.index.name)


def test_reports_that_came_after_the_switch_are_not_lost_on_the_way_back(house):
    migrated(house)
    changed(house, LATE)
    back = migrated(house, "model-1")
    assert back.index.name != "reports_1"
    assert LATE.report_id in house.store.reports(back.index.name)


# Reports that come, change or go meanwhile.


@pytest.mark.parametrize(
    "change",
    [
        {"reports": [LATE]},
        {"reports": [replace(REPORTS[0], text="sinus tachycardia")]},
        {"reports": [replace(REPORTS[0], record_count=7)]},
        {"gone": "r0"},
        {"reports": [LATE], "gone": "r1"},
    ],
    ids=["new", "other text", "other records", "deleted", "new and deleted"],
)
def test_what_changes_during_the_run_is_followed(house, change):
    made = migration(house)
    steps = made.run()
    next(steps)
    changed(house, *change.get("reports", ()), gone=change.get("gone", ""))
    list(steps)
    assert house.store.reports(made.index.name) == house.store.reports("reports_1")


def test_only_what_changed_is_embedded_again(house):
    steps = migration(house).run()
    next(steps)
    changed(house, LATE)
    list(steps)
    assert sorted(text for texts in house.encoder.texts for text in texts) == sorted(
        report.text for report in [*REPORTS, LATE]
    )


def test_reports_that_change_faster_than_they_are_followed_are_said_to_be_busy(house):
    made = migration(house)
    with pytest.raises(Unavailable, match="stop the imports") as caught:
        for step, _ in enumerate(made.run()):
            changed(house, replace(LATE, record_count=step))
    assert caught.value.reason == "INDEX_BUSY"
    assert caught.value.retry_after_s
    assert house.store.calls.count("pair") == PASSES


# What cannot be migrated, and what is left undone.


def test_a_model_that_is_not_served_is_refused_with_those_that_are(house):
    with pytest.raises(VersionMismatch, match=r"'model-3'.*model-2, model-1.*models deploy"):
        migration(house, "model-3")


def test_a_model_that_was_deployed_just_now_is_found(house):
    house.encoder.arriving = (model_info("model-3"),)
    assert migrated(house, "model-3").index.model_version == "model-3"


def test_without_an_index_there_are_no_reports_to_take(house):
    house.store.index = None
    with pytest.raises(IndexMissing):
        migration(house)


def test_an_unfinished_index_is_dropped(house):
    made = migration(house)
    next(made.run())
    made.abandon()
    assert set(house.store.indexes) == {"reports_1"}


def test_an_index_that_was_there_before_is_never_dropped(house):
    migrated(house)
    back = migration(house, "model-1")
    list(back.run())
    back.abandon()
    assert set(house.store.indexes) == {"reports_1", "reports_2"}


def test_what_was_not_begun_leaves_nothing_to_drop(house):
    migration(house).abandon()
    assert "drop" not in house.store.calls


def test_a_part_that_goes_down_leaves_the_old_index_in_force(house):
    made = migration(house)
    steps = made.run()
    next(steps)
    house.encoder.error = Unavailable("Triton is down")
    with pytest.raises(Unavailable, match="Triton is down"):
        list(steps)
    assert house.store.current().name == "reports_1"


# Cases.

TRACES = [trace_of(read(typed(ecg(bpm=50 + 20 * seed, seed=seed)))) for seed in range(4)]


@pytest.fixture
def archive():
    """Two reports and five cases by model-1, of which four have an ECG; model-2 is beside it."""
    house = House(*REPORTS[:2], has_cases=True)
    house.encoder.served = (model_info("model-2"), model_info("model-1"))
    refile(house, *(filed_case(n, TRACES[n] if n < 4 else None) for n in range(5)))
    return house


def filed_case(number: int, trace: Trace | None, text: str = "sinus rhythm") -> CaseRow:
    case = a_case(f"c{number}", text, age=50 + number)
    return row_of(case, vectors(1)[0] if trace else None, trace)


def refile(house: House, *rows: CaseRow) -> None:
    """Change the cases of the index in force as a worker does."""
    index = house.store.current()
    house.store.cases.upsert(index, rows)
    house.store.touch(index)


def cases_of(house: House, index: IndexInfo | None = None) -> dict[str, CaseRow]:
    return house.store.cases.of(index or house.store.current())


def test_the_new_index_has_the_same_cases_with_their_traces(archive):
    before = dict(cases_of(archive))
    made = migrated(archive)
    after = cases_of(archive, made.index)
    assert {one: row.filed for one, row in after.items()} == {
        one: row.filed for one, row in before.items()
    }
    assert {one: row.trace for one, row in after.items()} == {
        one: row.trace for one, row in before.items()
    }


def test_ecgs_are_embedded_by_the_other_model_from_their_traces(archive):
    made = migrated(archive)
    model = made._model
    for number, trace in enumerate(TRACES):
        image = image_of(waveform_of(trace), model.image_spec)[None]
        (expected,) = FakeEncoder("model-2").embed_images(model, image, Priority.ROUTINE)
        vector = cases_of(archive, made.index)[f"c{number}"].embedding
        assert vector is not None
        np.testing.assert_allclose(vector, expected, atol=1e-6)
    assert cases_of(archive, made.index)["c4"].embedding is None
    assert set(archive.encoder.asked) == {"model-2"}
    assert set(archive.encoder.priorities) == {Priority.ROUTINE}


def test_ecgs_are_embedded_some_at_a_time(archive, monkeypatch):
    monkeypatch.setattr("cardex.retrieval.migration.CASES_AT_ONCE", 2)
    migrated(archive)
    assert [len(images) for images in archive.encoder.images] == [2, 2]


def test_where_no_case_has_an_ecg_nothing_is_drawn(archive):
    refile(archive, *(filed_case(n, None) for n in range(5)))
    made = migrated(archive)
    assert archive.encoder.images == []
    assert len(cases_of(archive, made.index)) == 5


@pytest.mark.parametrize(
    "change",
    [
        filed_case(9, TRACES[0]),
        replace(filed_case(0, TRACES[0]), filed=filed_case(0, TRACES[0], "old infarct").filed),
        filed_case(4, TRACES[1]),
        filed_case(0, None),
        filed_case(0, TRACES[3]),
    ],
    ids=["new", "other report", "with an ECG", "without its ECG", "other ECG"],
)
def test_what_changes_of_cases_during_the_run_is_followed(archive, change):
    made = migration(archive)
    for step, _ in enumerate(made.run()):
        if step == 1:  # the cases are there
            assert cases_of(archive, made.index)
            refile(archive, change)
    row = cases_of(archive, made.index)[change.filed.case.case_id]
    assert (row.filed, row.trace) == (change.filed, change.trace)
    if change.trace is not None:
        image = image_of(waveform_of(change.trace), made._model.image_spec)[None]
        (expected,) = FakeEncoder("model-2").embed_images(made._model, image, Priority.ROUTINE)
        assert row.embedding is not None
        np.testing.assert_allclose(row.embedding, expected, atol=1e-6)
    made.commit()


def test_only_cases_that_changed_are_embedded_again(archive):
    made = migration(archive)
    for step, _ in enumerate(made.run()):
        if step == 1:
            refile(archive, filed_case(9, TRACES[0]))
    assert [len(images) for images in archive.encoder.images] == [4, 1]


def test_cases_that_are_erased_during_the_run_are_not_in_the_new_index(archive):
    made = migration(archive)
    for step, _ in enumerate(made.run()):
        if step == 1:
            index = archive.store.current()
            archive.store.cases.delete(index, ["c0"])
            archive.store.touch(index)
    assert set(cases_of(archive, made.index)) == {"c1", "c2", "c3", "c4"}


def test_a_lost_right_to_write_ends_it_before_the_cases_too(archive):
    made = migration(archive)
    steps = made.run()
    next(steps)
    archive.lost = True
    with pytest.raises(Unavailable):
        list(steps)
    assert cases_of(archive, made.index) == {}


def test_cases_of_an_index_of_an_earlier_version_are_not_asked_for(house):
    migrated(house)
    assert not [call for call in house.store.calls if call.startswith("cases.")]


def test_an_abandoned_migration_leaves_no_cases(archive):
    made = migration(archive)
    list(made.run())
    made.abandon()
    assert set(archive.store.cases.rows) == {"reports_1"}
