"""Options that several commands take.

Enters: a command. Leaves: the command with more options; and the compilation that they ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from attnc.cli.given import read_pairs
from attnc.compiler import Compilation
from attnc.options import OPTIONS, make_options

Command = TypeVar("Command", bound=Callable[..., Any])


def spec_options(command: Command) -> Command:
    """A flag for every option that shapes what is compiled, drawn from the table of options."""
    for option in reversed(OPTIONS):
        if not (option.in_text and option.has_flag):
            continue
        flag = f"--{option.name.replace('_', '-')}"
        if option.kind is bool:
            flag += f"/--no-{option.name.replace('_', '-')}"
        command = click.option(
            flag,
            option.name,
            type=option.kind,
            default=option.default,
            show_default=option.default is not None,
            help=option.help,
        )(command)
    return command


def open_spec(path: str, options: dict[str, Any]) -> Compilation:
    from attnc.syntax.reading import read_source

    return Compilation(read_source(path), make_options(**options))


def array_option(what: str) -> Callable[[Command], Command]:
    """`--array NAME=FILE.npy`, where `what` is what it is for."""
    return click.option(
        "--array",
        multiple=True,
        callback=read_pairs,
        metavar="NAME=FILE.npy",
        help=f"{what}, or the entries of one with one axis: --array length=40,200",
    )
