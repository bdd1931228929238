"""What every command needs of the terminal.

Enters: diagnostics, and how far something has come. Leaves: text on stderr, in color where a person is looking.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from attnc.errors import Diagnostic


def print_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    """Print them to stderr, in the order of their text."""
    if not diagnostics:
        return
    from attnc.render import render_all

    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    click.echo(render_all(diagnostics, color=color), err=True, color=color)


@contextmanager
def show_progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr; what is given is told how much is done, and of how much."""
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def tell(done: int, of: int) -> None:
            bar.length = of
            bar.update(done - bar.pos)

        yield tell


def can_print_blocks() -> bool:
    """Whether stdout knows the characters that a plot is drawn with."""
    try:
        "█▓▒░·".encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
