"""The command line. `main.py` runs a command and turns what went wrong into an exit code; `commands.py` holds them."""

from attnc.cli.main import main

__all__ = ["main"]
