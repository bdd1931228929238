"""How few queries are launched: into how many shares the keys are split, and the two kernels.

Enters: the kernels of a sweep whose keys can be split. Leaves: the functions that choose, and the lines of
`_forward_triton` that launch the kernels where it pays.
"""

from __future__ import annotations

from attnc.emit.arguments import arguments, looks_again, padded_widths, values, write_looks
from attnc.emit.expression import emit_argument
from attnc.emit.support import text_of
from attnc.emit.writer import Writer
from attnc.kernel.arguments import arguments_of
from attnc.kernel.nodes import Function
from attnc.lower.names import part_of
from attnc.lower.schedule import SweepKernels
from attnc.lower.split.choice import Split
from attnc.lower.sweep import Sweep
from attnc.lower.tile_sizes import reads_pairs
from attnc.lower.torch_terms import TorchTerms


def write_choice_of_splits(writer: Writer, sweep: Sweep) -> None:
    """The functions that choose.

    Four warps hold 64 rows, unless a number is kept for each pair; what is no softmax is kept beside its score.
    """
    with writer.block("def _few_rows(tiles, rows):"):
        writer.line(
            '"""The tiles of a forward kernel for so many rows of a key head, each a query of a head."""'
        )
        with writer.block("if rows <= 16:"):
            writer.line('return {**tiles, "BLOCK_Q": 16, "num_warps": 4}')
        rows = '"BLOCK_Q": min(64, tiles["BLOCK_Q"])'
        if reads_pairs(sweep):
            writer.line(f"return {{**tiles, {rows}}}")
        elif not sweep.fold.divides:
            writer.line(f'block = {{{rows}, "BLOCK_K": min(32, tiles["BLOCK_K"])}}')
            writer.line('return {**tiles, **block, "num_warps": 4}')
        else:
            writer.line(f'return {{**tiles, {rows}, "num_warps": 4}}')
    writer.line()
    writer.line()
    writer.lines(text_of("launch", "_splits"))


def write_split(writer: Writer, kernels: SweepKernels, split: Split) -> None:
    """The way of few queries, which ends in a `return`."""
    sweep = kernels.sweep
    forward, combine = kernels.kernel("_forward_split"), kernels.kernel("_combine")
    assert forward is not None and combine is not None
    rows, heads = ("N * group", "HKV") if split.packs else ("N", "H")
    writer.line(f"few = _few_rows(tiles, {rows})")
    writer.items("splits = _splits(", ["q", rows, f"B * {heads}", _sight(sweep, split), "few"], ")")
    with writer.block("if splits:"):
        for line in values(sweep, "part_acc = q.new_empty(splits, B, H, N, DV, dtype=torch.float32)"):
            writer.line(line)
        for kept in sweep.fold.kept:
            writer.line(f"{part_of(kept.name)} = q.new_empty(splits, B, H, N, dtype=torch.{kept.dtype})")
        with writer.block("with torch.cuda.device_of(q):"):
            grid = [f'triton.cdiv({rows}, few["BLOCK_Q"])', f"{heads} * splits", "B", "large"]
            writer.items("grid = _grid(", grid, ")")
            again = ["AGAIN=again"] * looks_again(forward)
            with write_looks(writer, forward, "few"):
                writer.items(
                    f"{forward.name}[grid](",
                    [*arguments(forward), "**few", *again, "LARGE=large"],
                    ")",
                )
            writer.items(f"{combine.name}[(B * H * N,)](", _of_combine(combine), ")")
        writer.line(f"return {', '.join(sweep.results)}")


def _sight(sweep: Sweep, split: Split) -> str:
    if split.sight is None:
        return "M"
    return emit_argument(TorchTerms(sweep.attention, {}, sweep.requires, sweep.places)(split.sight))


def _of_combine(kernel: Function) -> list[str]:
    constants = {"DV": "DV", "SHARES": "16"}
    return [
        *arguments(kernel),
        *(f"{each.name}={constants[each.name]}" for each in arguments_of(kernel) if each.kind == "tile"),
        *padded_widths(kernel),
        "enable_fp_fusion=True",
    ]
