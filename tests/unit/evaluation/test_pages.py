import pytest

from cardex.domain.errors import ConfigurationError
from cardex.evaluation.pages import written

BLOCKS = {"one": lambda: "| 7 |", "two": lambda: "second"}
PAGE = """before
<!-- figures:one -->
| old |
<!-- /figures:one -->
between
<!-- figures:two -->
<!-- /figures:two -->
after
"""


def test_blocks_are_renewed_and_the_rest_stays():
    page = written(PAGE, BLOCKS)
    assert page.replace("| 7 |\n", "| old |\n").replace("second\n", "") == PAGE
    assert written(page, BLOCKS) == page


def test_an_unknown_block_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match="figures:three: there are the blocks one, two"):
        written("<!-- figures:three -->\n<!-- /figures:three -->", BLOCKS)


@pytest.mark.parametrize(
    "page",
    [
        "<!-- figures:one -->\n",
        "<!-- /figures:one -->\n",
        "<!-- figures:one -->\n<!-- /figures:two -->\n",
    ],
)
def test_a_block_without_begin_or_end_is_refused(page):
    with pytest.raises(ConfigurationError, match="no begin or no end"):
        written(page, BLOCKS)
