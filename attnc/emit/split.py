"""How few queries are launched: into how many shares the keys are split, and the two kernels.

Enters: the kernels of a sweep whose keys can be split. Leaves: the functions that choose, and the lines of
`_forward_triton` that launch the kernels where it pays.
"""

from __future__ import annotations

from attnc.emit.arguments import arguments, looks_again, padded_widths, values, write_looks
from attnc.emit.expression import emit_argument
from attnc.emit.writer import Writer
from attnc.kernel.arguments import arguments_of
from attnc.kernel.nodes import Function
from attnc.lower.names import part_of
from attnc.lower.schedule import SweepKernels
from attnc.lower.split.choice import Split
from attnc.lower.sweep import Sweep
from attnc.lower.tile_sizes import reads_pairs
from attnc.lower.torch_terms import TorchTerms

SPLITS = '''
def _few_rows(tiles, rows):
    """The tiles of a forward kernel for so many rows of a key head, each a query of a head."""
    if rows <= 16:
        return {**tiles, "BLOCK_Q": 16, "num_warps": 4}
    ROWS


def _splits(q, rows, heads, keys, tiles):
    """Shares of the keys in sight that fill the GPU, of four tiles or more; 0 for none."""
    programs = max(1, triton.cdiv(rows, tiles["BLOCK_Q"]) * heads)
    splits = min(_shares(q, programs), max(0, keys) // (4 * tiles["BLOCK_K"]))
    return splits if splits > 1 or rows <= tiles["BLOCK_Q"] else 0
'''.strip()


def choice_of_splits(sweep: Sweep) -> str:
    """The functions that choose."""
    return SPLITS.replace("ROWS", _some_rows(sweep))


def _some_rows(sweep: Sweep) -> str:
    """Four warps hold 64 rows, unless a number is kept for each pair; what is no softmax is kept beside its score."""
    if reads_pairs(sweep):
        return 'return {**tiles, "BLOCK_Q": min(64, tiles["BLOCK_Q"])}'
    if not sweep.fold.divides:
        block = '{"BLOCK_Q": min(64, tiles["BLOCK_Q"]), "BLOCK_K": min(32, tiles["BLOCK_K"])}'
        return f'block = {block}\n    return {{**tiles, **block, "num_warps": 4}}'
    return 'return {**tiles, "BLOCK_Q": min(64, tiles["BLOCK_Q"]), "num_warps": 4}'


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
