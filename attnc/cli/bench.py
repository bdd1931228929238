"""`attnc bench`: a spec beside torch's attention.

Enters: arguments as typed. Leaves: a table or JSON on stdout, and a picture where asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attnc.cli.console import show_progress
from attnc.cli.given import Pairs, by_name, read_arrays, read_pairs
from attnc.cli.options import array_option, open_spec, spec_options


@click.command()
@click.argument("file")
@click.option(
    "--at",
    multiple=True,
    metavar="NAME=VALUE",
    callback=read_pairs,
    help="a size or a number of the call: --at N=8192 --at D=128 --at window=256",
)
@array_option("an array of the call")
@click.option(
    "--dtype",
    type=click.Choice(["bfloat16", "float16", "float32", "float64"]),
    help="of q, k and v (default: float32 on a CPU, bfloat16 on a GPU)",
)
@click.option(
    "--direction",
    type=click.Choice(["forward", "backward", "both"]),
    default="both",
    show_default=True,
    help="what is timed",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto: a GPU where there is one",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=7, show_default=True, help="repeats of all calls"
)
@click.option("--reference", is_flag=True, help="the interpreter takes part, and judges the others")
@click.option("--json", "as_json", is_flag=True, help="the same for programs")
@click.option("--plot", "picture", metavar="OUT", help="also draw it: a .png, .svg or .pdf file")
@spec_options
def bench(
    file: str,
    at: Pairs,
    array: Pairs,
    dtype: str | None,
    direction: str,
    device: str,
    rounds: int,
    reference: bool,
    as_json: bool,
    picture: str | None,
    **options: Any,
) -> None:
    """Time a spec beside torch's SDPA and FlexAttention, all in one run.

    Everyone gets the same tensors and computes once before any clock runs; who differs is said and not timed, and the
    exit code is 1. Then they take turns in every round. SDPA is told that the mask is causal where it is nothing else,
    and gets the mask and the bias as a tensor otherwise; FlexAttention is compiled, with its mask made beforehand or,
    as `flex + mask`, in every call. A backward call gives the gradients of q, k and v.
    """
    compilation, given = open_spec(file, options), by_name([*at, *array])
    attention = compilation.attention
    from attnc import bench as room
    from attnc.bench.figure import check_plot, write_plot
    from attnc.run.settings import read_numbers

    if picture is not None:
        check_plot(Path(picture))
    values = {
        **read_numbers(attention, {name: given[name] for name, _ in at}),
        **read_arrays(attention, {name: given[name] for name, _ in array}),
    }
    where = room.find_device(device)
    call = room.make_call(attention, compilation.facts, where, room.find_dtype(dtype, where), values)
    directions = [each for each in room.DIRECTIONS if direction in (each, "both")]
    with show_progress("timing") as progress:
        report = room.bench(
            compilation, call, directions, rounds, with_reference=reference, progress=progress
        )
    click.echo(report.to_json() if as_json else str(report))
    if picture is not None:
        write_plot(report, Path(picture))
    click.get_current_context().exit(not report.holds)
