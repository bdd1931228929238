"""The `attnc` command: from arguments to an exit code.

Enters: what a person typed. Leaves: an exit code, and on stderr one explanation, never a traceback:

    0    done
    1    a spec has mistakes, a file cannot be read, or a check did not hold
    2    the command line itself makes no sense
    3    a bug in attnc: what happened is written to a file that the message names
    130  stopped by Ctrl-C
    141  whoever read the output stopped reading
"""

from __future__ import annotations

import io
import os
import platform
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from attnc.cli import commands
from attnc.cli.console import print_diagnostics
from attnc.errors import AttncError, AttncWarning, CompilerBug, Diagnostic
from attnc.version import __version__

PACKAGES = ("torch", "triton", "numpy", "sympy", "lark", "matplotlib")
MISTAKE, USAGE, BUG, INTERRUPTED, CLOSED_PIPE = 1, 2, 3, 130, 141


class _Attnc(click.Group):
    """Lists its commands in the order of use, and knows how each kind of failure ends."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except AttncError as mistake:
            print_diagnostics(mistake.diagnostics)
            ctx.exit(MISTAKE)
        except BrokenPipeError:
            # Python would complain once more when it closes stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(CLOSED_PIPE)
        except OSError as problem:
            name = f"`{problem.filename}`: " if problem.filename else ""
            print_diagnostics(
                [Diagnostic("system-error", f"{name}{(problem.strerror or str(problem)).lower()}")]
            )
            ctx.exit(MISTAKE)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as bug:
            if (missing := _missing_package(bug)) is not None:
                what = f"`attnc {ctx.invoked_subcommand}` needs {missing}, which is not installed"
                help_ = f"install it: `pip install {missing}`"
                print_diagnostics([Diagnostic("missing-package", what, helps=(help_,))])
                ctx.exit(MISTAKE)
            _report_bug(bug)
            ctx.exit(BUG)


@click.group(cls=_Attnc, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="attnc %(version)s")
def attnc() -> None:
    """A small compiler for attention.

    Exit codes: 0 done; 1 a spec has mistakes or a check did not hold; 2 the command line makes no sense;
    3 a bug in attnc.
    """


for command in commands.COMMANDS:
    attnc.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _plain_warnings():
            code = attnc.main(args=arguments, prog_name="attnc", standalone_mode=False)
    except click.ClickException as mistake:
        mistake.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _missing_package(problem: Exception) -> str | None:
    """The name of a package that attnc works with and that is not here."""
    name = problem.name if isinstance(problem, ModuleNotFoundError) else None
    root = (name or "").partition(".")[0]
    return root if root in PACKAGES else None


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Ours as they are, without the line of Python that gave them."""
    usual = warnings.formatwarning

    def say(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> str:
        return (
            f"{message}\n" if issubclass(category, AttncWarning) else usual(message, category, *place, **more)
        )

    warnings.formatwarning = say
    try:
        yield
    finally:
        warnings.formatwarning = usual


def _report_bug(bug: Exception) -> None:
    from attnc.run.loader import cache_file

    what = bug if isinstance(bug, CompilerBug) else CompilerBug(f"{type(bug).__name__}: {bug}")
    specs = [Path(word) for word in sys.argv[1:] if word.endswith(".attn") and Path(word).is_file()]
    story = [
        f"attnc {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"arguments: {sys.argv[1:]}",
        "".join(traceback.format_exception(bug)),
        *(f"{spec}:\n{spec.read_text(encoding='utf-8', errors='replace')}" for spec in specs),
    ]
    text = "\n\n".join(story)
    click.echo(f"error: {what}", err=True)
    click.echo(f"all that is known about it is in {cache_file('bug.txt', text)}", err=True)
