"""Renews the blocks of figures in the pages that state them."""

import re
from collections.abc import Callable, Mapping

from cardex.domain.errors import ConfigurationError

_BLOCK = re.compile(
    r"(?P<begin><!-- figures:(?P<name>[a-z-]+) -->\n).*?(?P<end><!-- /figures:(?P=name) -->)",
    re.DOTALL,
)
_MARK = re.compile(r"<!-- /?figures:")


def written(page: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """Return a page with every block `<!-- figures:NAME -->` to `<!-- /figures:NAME -->` renewed.

    Args:
        page: the page's Markdown.
        blocks: what writes each block, by its name.

    Raises:
        ConfigurationError: if a name is not one of `blocks`, or a block has no begin or no end.
    """

    def renewed(block: re.Match[str]) -> str:
        if block["name"] not in blocks:
            raise ConfigurationError(
                f"figures:{block['name']}: there are the blocks {', '.join(blocks)}"
            )
        return f"{block['begin']}{blocks[block['name']]()}\n{block['end']}"

    if len(_MARK.findall(page)) != 2 * len(_BLOCK.findall(page)):
        raise ConfigurationError("a block of figures has no begin or no end of the same name")
    return _BLOCK.sub(renewed, page)
