"""The commands, in the order in which a person meets them.

Enters: arguments as typed. Leaves: text on stdout, files where asked for. Each is a few calls into the compiler.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from attnc.cli.bench import bench
from attnc.cli.console import can_print_blocks, print_diagnostics, show_progress
from attnc.cli.given import Pairs, by_name, read_arrays, read_pairs, read_tile
from attnc.cli.options import Command, array_option, open_spec, spec_options
from attnc.cli.tiles import choose_by_clock, choose_tiles
from attnc.compiler import STAGES, Compilation
from attnc.errors import AttncError, Diagnostic
from attnc.source import Source
from attnc.verify.cases import Backend

ARCHS = "sm_80, sm_86, sm_89, sm_90, sm_100, sm_120, gfx942, or a card, as h100"
STARTER = Path(__file__).with_name("starter.attn")


@click.command()
@click.argument("name")
def new(name: str) -> None:
    """Write NAME.attn, a commented spec to start from."""
    from attnc.run.loader import write_file

    path = Path(name if name.endswith(".attn") else f"{name}.attn")
    if not path.stem.isidentifier():
        what = f"`{path.stem}` cannot be the name of an attention"
        raise AttncError(Diagnostic("bad-name", what, helps=("use letters, digits and `_`, a letter first",)))
    if path.exists():
        what = f"`{path}` exists and is left as it is"
        raise AttncError(Diagnostic("file-exists", what, helps=("choose another name, or remove the file",)))
    text = STARTER.read_text(encoding="utf-8").replace("attention starter", f"attention {path.stem}")
    Compilation(Source(str(path), text)).function()  # a name that the language needs itself is refused here
    write_file(path, text)
    click.echo(f"{path}\n\nnext:  attnc check {path}\n       attnc explain {path}")


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def check(files: tuple[str, ...]) -> None:
    """Read and check specs; say what is wrong with them."""
    found: list[Diagnostic] = []
    for file in files:
        try:
            checked = open_spec(file, {}).checked
        except AttncError as mistake:
            found += mistake.diagnostics
            continue
        found += checked.diagnostics
        if checked.is_fine:
            names = ", ".join(attention.name for attention in checked.attentions)
            click.echo(f"{file}: ok, {names or 'a library of macros'}")
    print_diagnostics(found)
    click.get_current_context().exit(any(d.severity == "error" for d in found))


def _setting_options(tile: str, several: bool) -> Callable[[Command], Command]:
    """Where a cost or a picture is wanted: sizes and numbers, a tile, and which heads of which batch entries."""
    sizes = "a size or a number, as often as you like: --at N=8192 --at window=256"
    first, place = [0] if several else 0, click.IntRange(min=0)

    def add(command: Command) -> Command:
        for option in (
            click.option("--batch", type=place, default=first, multiple=several, help="which batch entry"),
            click.option("--head", type=place, default=first, multiple=several, help="which head"),
            click.option(
                "--tile", default=tile, show_default=True, callback=read_tile, help="queries x keys"
            ),
            click.option("--at", multiple=True, metavar="NAME=VALUE", callback=read_pairs, help=sizes),
        ):
            command = option(command)
        return command

    return add


@click.command()
@click.argument("file", metavar="FILE|CODE")
@spec_options
@_setting_options(tile="128x128", several=False)
@click.option("--json", "as_json", is_flag=True, help="the same for programs")
def explain(
    file: str, at: Pairs, tile: tuple[int, int], head: int, batch: int, as_json: bool, **options: Any
) -> None:
    """Say what attnc finds in a spec and what it costs, or what a diagnostic code means."""
    from attnc.data import error_codes, error_page

    codes = error_codes()
    if file in codes and not Path(file).exists():
        click.echo(error_page(file), nl=False)
    elif not Path(file).exists() and "." not in file and "/" not in file:
        close = tuple(f"did you mean `{code}`?" for code in get_close_matches(file, codes, n=1))
        raise AttncError(
            Diagnostic("no-such-file", f"`{file}` is neither a file nor a diagnostic code", helps=close)
        )
    else:
        from attnc.run.cost import Setting
        from attnc.run.settings import read_numbers

        compilation, given = open_spec(file, options), by_name(at)
        setting = Setting(read_numbers(compilation.attention, given), tile, head, batch)
        click.echo(compilation.explain_json(setting) if as_json else compilation.explain(setting))


@click.command()
@click.argument("file")
@click.option("-o", "--output", metavar="OUT", help="a .png, .svg or .pdf file; without it, text on stdout")
@click.option("--name", help="the attention to take, where the file holds several")
@_setting_options(tile="16x16", several=True)
@array_option("an array that the mask reads")
def plot(
    file: str,
    output: str | None,
    at: Pairs,
    array: Pairs,
    tile: tuple[int, int],
    head: tuple[int, ...],
    batch: tuple[int, ...],
    name: str | None,
) -> None:
    """Draw the mask of a small call, and which of its tiles are skipped, full, or masked pair by pair.

    The call has 256 queries and keys unless --at or an array says otherwise. --head and --batch may be repeated: each
    gets a panel. An array that is not given is refused, except a sorted int array with an entry for each token: it is
    taken for documents, and some are made up; the picture says so.
    """
    from attnc.run.settings import read_numbers

    compilation, given = open_spec(file, {"name": name}), by_name([*at, *array])
    attention = compilation.attention
    values = {
        **read_numbers(attention, {name: given[name] for name, _ in at}),
        **read_arrays(attention, {name: given[name] for name, _ in array}),
    }
    picture = compilation.plot(values, tile, head, batch)
    if output is not None:
        picture.figure(output)
    else:
        click.echo(picture.text(shutil.get_terminal_size().columns, plain=not can_print_blocks()))


@click.command()
@click.argument("file")
@click.option("--stage", type=click.Choice(list(STAGES)), required=True, help="which intermediate")
@spec_options
def show(file: str, stage: str, **options: Any) -> None:
    """Print what stands between the text and the module."""
    click.echo(open_spec(file, options).show(stage).rstrip("\n"))


@click.command()
@click.argument("file")
@click.option("-o", "--output", required=True, metavar="OUT.py", help="where to write it; - for stdout")
@click.option("--arch", help=f"choose tiles for this GPU, which need not be there: {ARCHS}")
@click.option(
    "--time", "by_clock", is_flag=True, help="of those that pass, take the fastest on the GPU at hand"
)
@spec_options
def build(file: str, output: str, arch: str | None, by_clock: bool, **options: Any) -> None:
    """Write the standalone module of a spec: torch and triton only, yours to keep. Without kernels, torch only.

    With --arch, tiles, warps and stages are tried for that GPU, for heads from 64 to 256 wide: the first whose machine
    code holds the limits of `attnc inspect` are written into the module. That takes a minute. On another GPU, or with
    another version of Triton, the module takes its usual tiles. With --time, up to three that pass are timed on that
    GPU, which has to be there.
    """
    from attnc.run.loader import write_file

    compilation = open_spec(file, options)
    if by_clock and arch is None:
        raise click.UsageError("--time is for the tiles that --arch chooses")
    if arch is not None:
        tiles = choose_by_clock(compilation, arch) if by_clock else choose_tiles(compilation, arch)
        compilation = replace(compilation, options=replace(compilation.options, tiles=tiles))
    text = compilation.show("module")
    if output == "-":
        click.echo(text.encode(), nl=False)
    else:
        write_file(Path(output), text)


@click.command()
@click.argument("file")
@click.option(
    "--backend",
    type=click.Choice(["cpu", "numpy", "triton"]),
    multiple=True,
    help="the CPU path; the kernels, evaluated in NumPy; the kernels in Triton's interpreter",
)
@click.option("--quick", is_flag=True, help="a few cases instead of the whole grid")
@spec_options
def verify(file: str, backend: tuple[Backend, ...], quick: bool, **options: Any) -> None:
    """Compare emitted code with the interpreter: values and every gradient, over an edge-case grid.

    Without --backend, the CPU path and the kernels in NumPy take the whole grid, and Triton's interpreter takes a share
    of it, or nothing with --quick. A case that does not hold is printed as soon as it is known.
    """
    from attnc import verify as room

    compilation = open_spec(file, options)
    _ = compilation.attention  # mistakes of the spec come before any process is started
    with show_progress("verifying") as progress:

        def tell(done: int, of: int, last: room.Measurement) -> None:
            if not last.holds:
                click.echo(f"\n{last}", err=True)
            progress(done, of)

        report = room.verify(compilation, backend, quick=quick, progress=tell)
    click.echo(str(report))
    click.get_current_context().exit(not report.holds)


@click.command()
@click.argument("file")
@click.option("--arch", default="sm_90", show_default=True, help=f"the GPU: {ARCHS}")
@click.option("--head-dim", type=click.IntRange(min=1), default=128, show_default=True, help="D and DV")
@click.option(
    "--dtype",
    type=click.Choice(["bfloat16", "float16", "float32"]),
    default="bfloat16",
    show_default=True,
    help="of q, k and v",
)
@click.option(
    "--at",
    multiple=True,
    metavar="NAME=VALUE",
    callback=read_pairs,
    help="a size or a number of the call: --at DV=64 --at window=256",
)
@click.option("--choose", is_flag=True, help="try other tiles: which is the first that holds all limits")
@click.option("--json", "as_json", is_flag=True, help="the same for programs")
@spec_options
def inspect(
    file: str, arch: str, head_dim: int, dtype: str, at: Pairs, choose: bool, as_json: bool, **options: Any
) -> None:
    """Build every kernel for a GPU that need not be there, and say how good its machine code is.

    Registers, spills, shared memory, and what each loop over tiles holds: instructions, also for one pair of a query
    and a key; matrix products; copies; exp2 and other special functions; and the share of its exp2 that run beside a
    matrix product. The exit code is 1 where a limit does not hold. How fast a kernel is takes a GPU to say.

    With --choose, other tiles, warps and stages are tried, best first, until one holds every limit.
    """
    from attnc import inspect as room
    from attnc.run.settings import read_numbers

    target, compilation, given = room.find_target(arch), open_spec(file, options), by_name(at)
    if "D" in given:
        raise click.UsageError("`D` is what --head-dim says")
    numbers = read_numbers(compilation.attention, given)
    with show_progress("building") as progress:
        report: room.Report | room.Choices
        if choose:
            report = room.choose(
                compilation, target, widths=(head_dim,), dtype=dtype, numbers=numbers, progress=progress
            )
        else:
            report = room.inspect(
                compilation, target, head_dim=head_dim, dtype=dtype, numbers=numbers, progress=progress
            )
    click.echo(report.to_json() if as_json else str(report))
    click.get_current_context().exit(not report.holds)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--check", "only_check", is_flag=True, help="change nothing; exit 1 where something would change"
)
def fmt(files: tuple[str, ...], only_check: bool) -> None:
    """Print specs in the one true layout, in place; - reads stdin and writes stdout."""
    from attnc.run.loader import write_file
    from attnc.syntax.parser import parse_file
    from attnc.syntax.printer import print_file
    from attnc.syntax.reading import read_source

    found: list[Diagnostic] = []
    would_change = False
    for file in files:
        try:
            source = Source("<stdin>", _stdin()) if file == "-" else read_source(file)
            text = print_file(parse_file(source))
        except AttncError as mistake:
            found += mistake.diagnostics
            continue
        changed = text != source.text
        if only_check:
            would_change |= changed
            if changed:
                click.echo(f"{source.name}: would change")
        elif file == "-":
            click.echo(text.encode(), nl=False)
        elif changed:
            write_file(Path(file), text)
            click.echo(f"{file}: formatted")
    print_diagnostics(found)
    click.get_current_context().exit(bool(found) or would_change)


def _stdin() -> str:
    data = sys.stdin.buffer.read()
    try:
        return data.decode()
    except UnicodeDecodeError as bad:
        what = f"stdin is not UTF-8 text: byte {bad.start} is {data[bad.start]:#04x}"
        raise AttncError(Diagnostic("unreadable-file", what)) from None


COMMANDS = (new, check, explain, plot, show, build, verify, inspect, bench, fmt)
