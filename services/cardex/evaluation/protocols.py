"""The names of what can be measured, and of the ECGs that it can be measured on."""

from collections.abc import Iterable, Sequence

from cardex.domain.errors import InvalidQuestion

RETRIEVAL = ("paper", "strict", "distinct", "clinical")
ZERO_SHOT, PROBABILITIES, NOVELTY = "zero-shot", "probabilities", "out-of-distribution"
LANGUAGES, DRAFTS, CASES = "languages", "drafts", "cases"
PROTOCOLS = (*RETRIEVAL, CASES, ZERO_SHOT, LANGUAGES, PROBABILITIES, NOVELTY, DRAFTS)
COMPARED = (*RETRIEVAL, ZERO_SHOT, PROBABILITIES)
"""What two models are compared by."""
ALL, REPRESENTATIVE, OTHER = ECGS = ("all", "representative", "other")


def chosen(option: str, given: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the given names in the order of `known`; all of them if none is given.

    Raises:
        InvalidQuestion: if a name is not known; the message lists those that are.
    """
    wanted = set(given)
    if unknown := sorted(wanted - set(known)):
        raise InvalidQuestion(f"{option} {unknown[0]!r}: must be one of {', '.join(known)}")
    return tuple(name for name in known if name in wanted) or tuple(known)
