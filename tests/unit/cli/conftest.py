import pytest
from typer.testing import CliRunner

from cardex.cli.main import app


@pytest.fixture
def cardex():
    """The command line: arguments in, exit code and output out."""
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])
