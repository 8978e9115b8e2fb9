"""Whose cases a caller may see and change."""

from collections.abc import Iterable

from cardex.domain.cases import archive_of, full_id
from cardex.domain.errors import PermissionDenied
from cardex.gateway.keys import Principal


def own_ids(caller: Principal, case_ids: Iterable[str]) -> list[str]:
    """Return ids with the caller's archive, without those of other archives."""
    full = (full_id(case_id, caller.archive) for case_id in case_ids)
    return [one for one in full if may_see(caller, one)]


def may_see(caller: Principal, case_id: str) -> bool:
    """Return whether a caller may see a case: it has no archive of its own, or this one."""
    return not caller.archive or archive_of(case_id) == caller.archive


def require_archive(caller: Principal, case_id: str) -> None:
    """Refuse a case of another archive than the caller's.

    Raises:
        PermissionDenied: naming the archive that it may use.
    """
    if not may_see(caller, case_id):
        raise PermissionDenied(
            f"key {caller.name!r} files in the archive {caller.archive!r} alone: leave the archive"
            " out of the case_id",
            field="file_as.case.case_id",
        )


def require_all_archives(caller: Principal) -> None:
    """Refuse a caller with an archive of its own what would change those of others.

    Raises:
        PermissionDenied: naming its archive.
    """
    if caller.archive:
        raise PermissionDenied(
            f"key {caller.name!r} is of the archive {caller.archive!r}, and this changes those of"
            " others too: take a key of no archive, or file cases into the index that answers"
            " (`cardex index --merge`)"
        )
