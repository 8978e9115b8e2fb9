"""Keys of two hospitals in one house: each files, finds, sees and erases its own cases alone."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from cardex.api.client import Client
from cardex.api.recordings import recordings
from cardex.domain.cases import Case, Nearness
from cardex.domain.errors import CaseNotFound, PermissionDenied
from cardex.domain.jobs import Question
from cardex.domain.reports import Statement
from cardex.gateway.keys import add_to_file
from tests.helpers.real import demo_data
from tests.helpers.stack import running_stack
from tests.helpers.waiting import until

SCOPES = ("submit", "search", "index")
COMMON = "sinus rhythm, normal ecg"


@pytest.fixture(scope="module")
def files():
    return [paths[0] for paths in islice(recordings(demo_data().cpsc), 5)]


@pytest.fixture(scope="module")
def clients(tmp_path_factory, files):
    """Clients of the operator, of the north and of the south, which have filed two ECGs each."""
    folder = tmp_path_factory.mktemp("archives")
    key_file = folder / "keys.toml"
    keys = {
        "operator": add_to_file(key_file, "operator", ["admin"]),
        "north": add_to_file(key_file, "north-key", SCOPES, "north"),
        "south": add_to_file(key_file, "south-key", SCOPES, "south"),
    }
    with (
        pytest.MonkeyPatch.context() as environment,
        running_stack(_with_keys(environment, key_file, keys["operator"], folder)) as (_, house),
    ):
        made = {
            name: Client.from_settings(house.model_copy(update={"api_key": key}))
            for name, key in keys.items()
        }
        made["operator"].begin_rebuild()
        for number, name in enumerate(("north", "south")):
            common, own = files[2 * number : 2 * number + 2]
            cases = [
                (Case("1", COMMON, statements=(Statement(name.upper()),)), common),
                (Case("2", f"only the {name} writes this"), own),
            ]
            *_, sent = made[name].file_cases(cases)
            assert (sent.cases, sent.without_ecg, sent.refused) == (2, 0, 0), sent.reasons
        generation = made["operator"].index().generation
        seen(lambda: made["operator"].retrieve(files[4]).answer.index_generation == generation)
        yield made
        for client in made.values():
            client.close()


def _with_keys(environment: pytest.MonkeyPatch, keys: Path, own: str, folder: Path) -> Path:
    """Have the processes of a stack ask for keys, and the web process use its own."""
    environment.setenv("CARDEX_API_KEYS", str(keys))
    environment.setenv("CARDEX_API_KEY", own)
    return folder / "data"


def seen(condition: Callable[[], bool]) -> None:
    """Wait until all processes have seen a change: each looks at the index once a second."""
    until(condition, seconds=30.0)


@pytest.mark.parametrize("by", list(Nearness))
def test_each_finds_its_own_cases_alone(clients, files, by):
    for name, other in (("north", "south"), ("south", "north")):
        answer = clients[name].retrieve(files[4], Question(100, by=by)).answer
        assert {hit.report.text for hit in answer.hits} == {COMMON, f"only the {name} writes this"}
        for hit in answer.hits:
            assert {case.case_id for case in hit.cases} <= {f"{name}/1", f"{name}/2"}
            assert hit.report.record_count == 1
            assert list(hit.report.record_ids) == [case.case_id for case in hit.cases]
            assert other.upper() not in {one.code for one in hit.report.statements}
        text = clients[name].search(f"only the {other} writes this", 100, by=by)
        assert f"only the {other} writes this" not in {hit.report.text for hit in text.hits}


def test_the_operator_finds_all(clients, files):
    answer = clients["operator"].retrieve(files[4], Question(100, by=Nearness.BOTH)).answer
    (common,) = (hit for hit in answer.hits if hit.report.text == COMMON)
    assert {case.case_id for case in common.cases} == {"north/1", "south/1"}
    assert common.report.record_count == 2
    assert len(answer.hits) == 3


def test_a_case_of_another_archive_is_not_found(clients):
    north = clients["north"]
    assert north.case("1").case.case_id == "north/1"
    assert north.case("north/2").report.text == "only the north writes this"
    assert north.case("1").report.record_count == 1
    for case_id in ("south/1", "south/2", "", "/1", "north/../south/1"):
        with pytest.raises(CaseNotFound, match=f"no case .*{case_id}'"):
            north.case(case_id)
    assert clients["operator"].case("south/1").case.case_id == "south/1"
    assert clients["operator"].case("south/1").report.record_count == 2


def test_nobody_files_or_erases_in_another_archive(clients, files):
    north = clients["north"]
    foreign = Case("south/3", COMMON)
    with pytest.raises(PermissionDenied, match="north"):
        list(north.file_cases([(foreign, files[0])]))
    assert north.delete_cases(["south/1", "south/2"]) == 0
    assert clients["south"].case("1").case.has_ecg
    with pytest.raises(PermissionDenied):
        north.begin_rebuild()


def test_the_same_question_of_two_archives_has_two_answers(clients, files):
    texts = [
        {hit.report.text for hit in clients[name].retrieve(files[3], Question(5)).answer.hits}
        for name in ("north", "south", "north")
    ]
    assert texts[0] == texts[2] != texts[1]


def test_erasing_takes_a_case_from_every_answer(clients, files):
    north, question = clients["north"], Question(3, by=Nearness.ECG)
    *_, sent = north.file_cases([(replace(Case("9", "to be erased")), files[4])])
    assert sent.refused == 0
    seen(lambda: "to be erased" in texts_of(north, files[4], question))
    assert north.delete_cases(["9"]) == 1
    seen(lambda: "to be erased" not in texts_of(north, files[4], question))
    with pytest.raises(CaseNotFound):
        north.case("9")


def texts_of(client: Client, path: Path, question: Question) -> set[str]:
    return {hit.report.text for hit in client.retrieve(path, question).answer.hits}
