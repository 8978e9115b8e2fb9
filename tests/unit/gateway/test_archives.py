import pytest

from cardex.domain.errors import PermissionDenied
from cardex.gateway.archives import may_see, own_ids, require_all_archives, require_archive
from cardex.gateway.keys import ANYBODY, Principal, Scope

NORTH = Principal("feed", frozenset({Scope.INDEX}), "north")


@pytest.mark.parametrize(
    ("case_id", "own"),
    [
        ("north/1", True),
        ("south/1", False),
        ("1", False),
        ("/1", False),
        ("North/1", False),
        ("northern/1", False),
        ("south/north/1", False),
        ("", False),
    ],
)
def test_a_caller_of_an_archive_sees_its_cases_alone(case_id, own):
    assert may_see(NORTH, case_id) is own
    assert may_see(ANYBODY, case_id)


def test_ids_get_the_callers_archive_and_those_of_others_are_left_out():
    assert own_ids(NORTH, ["1", "north/2", "south/3", "/4"]) == ["north/1", "north/2"]
    assert own_ids(ANYBODY, ["1", "north/2"]) == ["1", "north/2"]


def test_a_case_of_another_archive_is_refused_with_what_to_do():
    with pytest.raises(PermissionDenied, match="'north' alone: leave the archive out") as caught:
        require_archive(NORTH, "south/1")
    assert caught.value.field == "file_as.case.case_id"
    require_archive(NORTH, "north/1")
    require_archive(ANYBODY, "south/1")


def test_what_changes_all_archives_is_for_callers_of_none():
    with pytest.raises(PermissionDenied, match="'north'"):
        require_all_archives(NORTH)
    require_all_archives(ANYBODY)
