"""What every command needs of the terminal.

Enters: diagnostics. Leaves: their text on stderr, in color where a person is looking.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from attnc.errors import Diagnostic


def print_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    """Print them to stderr, in the order of their text."""
    if not diagnostics:
        return
    from attnc.render import render_all

    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    click.echo(render_all(diagnostics, color=color), err=True, color=color)


def can_print_blocks() -> bool:
    """Whether stdout knows the characters that a plot is drawn with."""
    try:
        "█▓▒░·".encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
