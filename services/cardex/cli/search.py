"""What `cardex search` does."""

import json

from rich.console import Console

from cardex.api.client import Client
from cardex.cli.render import as_dict, show_answer
from cardex.domain.cases import Nearness


def run_search(
    client: Client, text: str, top_k: int, by: Nearness | None, *, as_json: bool
) -> None:
    """Print the reports nearest to a text."""
    with client:
        answer = client.search(text, top_k, by=by)
    if as_json:
        print(json.dumps(as_dict(answer), indent=2))
    else:
        show_answer(Console(highlight=False), text, answer, shown=top_k)
