"""What every command shares: the console, errors as messages, the settings of the running stack."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cardex.domain.errors import CardexError
from cardex.domain.settings import Settings, load_settings

if TYPE_CHECKING:
    from cardex.api.client import Client

console = Console(stderr=True, highlight=False)
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def error_messages() -> Iterator[None]:
    """Print an error of the tree as one message, and exit with 1."""
    try:
        yield
    except CardexError as error:
        console.print(f"[red]error[/] ({error.reason}): ", end="")
        console.print(error.message, markup=False, soft_wrap=True)
        raise typer.Exit(1) from error


def stack_settings() -> Settings:
    """Return the settings, pointed at the stack of this data folder where one runs."""
    from cardex.local_stack.endpoints import running_endpoints

    settings = load_settings()
    endpoints = running_endpoints(settings)
    if endpoints is None:
        return settings
    found = {
        "gateway_target": endpoints.gateway,
        "triton_url": endpoints.triton,
        "model_repository": Path(endpoints.model_repository),
    }
    given = settings.model_fields_set
    return settings.model_copy(update={k: v for k, v in found.items() if k not in given})


def gateway_client() -> "Client":
    """Return a client of that stack's gateway."""
    from cardex.api.client import Client

    return Client.from_settings(stack_settings())
