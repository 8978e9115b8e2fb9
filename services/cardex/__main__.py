"""`python -m cardex` is the command line."""

from cardex.cli.main import main

main()
