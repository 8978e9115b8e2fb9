import pytest

from cardex.domain.errors import InvalidQuestion
from cardex.evaluation.protocols import PROTOCOLS, chosen


def test_nothing_given_is_everything():
    assert chosen("--protocol", [], PROTOCOLS) == PROTOCOLS


def test_names_come_once_and_in_their_own_order():
    assert chosen("--protocol", ["strict", "paper", "strict"], PROTOCOLS) == ("paper", "strict")


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(InvalidQuestion, match="--protocol 'worst': must be one of paper, strict"):
        chosen("--protocol", ["strict", "worst"], PROTOCOLS)
