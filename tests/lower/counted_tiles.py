"""Which tiles the emitted kernels go through, by the evaluator.

Enters: a spec and a call. Leaves: for every tile that the helper of a loop was given: batch, head and program, its
first position, and whether it was masked. The helper itself is put aside and gives back what it was given, so that only
the loops run.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import ModuleType
from typing import Any

import torch

from attnc.compiler import Compilation
from attnc.evaluate import load_evaluated
from attnc.source import Source

HELPERS = {"_add_keys": "keys", "_add_keys_backward": "keys", "_add_queries": "queries"}
KERNELS = {
    "_add_keys": "_forward",
    "_add_keys_backward": "_backward_queries",
    "_add_queries": "_backward_keys",
}
Visit = tuple[int, int, int, int, bool]


def count_tiles(
    text: str, values: dict[str, Any], sizes: dict[str, int], tile: tuple[int, int]
) -> dict[str, list[Visit]]:
    """The visits of each helper, in order."""
    compilation = Compilation(Source("counted.attn", text))
    name = compilation.attention.name
    module = load_evaluated("counted", compilation.module)
    for rows in module.TILES.values():
        for kernel, widths in rows.items():
            rows[kernel] = dict.fromkeys(widths, (*tile, 4, 1))
    vars(module).update(_splits=lambda *sizes: 0, _choose=lambda backend, q: backend)
    # What is counted adds nothing up, and 0 / 0 would have a kernel look again.
    vars(module).update(_looks=lambda tiles: [(False, tiles)])
    visits: dict[str, list[Visit]] = {}
    for helper in HELPERS:
        visits[helper] = []
        _note_visits(module, helper, visits[helper], sizes)
    B, H, HKV, N, M = (sizes[size] for size in ("B", "H", "HKV", "N", "M"))
    vectors = [torch.zeros(B, h, n, 16, requires_grad=True) for h, n in ((H, N), (HKV, M), (HKV, M))]
    getattr(module, name)(*vectors, **values, backend="triton").sum().backward()
    return visits


def _note_visits(module: ModuleType, helper: str, visits: list[Visit], sizes: dict[str, int]) -> None:
    noted = getattr(module, helper)
    own = getattr(noted, "counted", getattr(noted, "fn", None))
    signature = inspect.signature(own)
    (ending,) = (
        n for n in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(own)))) if isinstance(n, ast.Return)
    )
    assert ending.value is not None
    carried = [n.id for n in ast.walk(ending.value) if isinstance(n, ast.Name)]

    kernel = inspect.getsource(getattr(module, KERNELS[helper]).fn)
    is_last_first = "tiles - 1 - tile_id" in kernel

    def note(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        program, head, batch = module.tl.program
        first, *_ = given.values()
        if helper == "_add_queries":  # one program goes through the heads that share its keys
            head = _int(given["row"]) // sizes["N"] - batch * sizes["H"]
        is_edge = bool(_int(given.get("EDGE", True)))  # a kernel without full tiles does not ask
        if is_last_first:  # programs are counted by their tiles
            program = module.tl.grid[0] - 1 - program
        visits.append((batch, head, program, _int(first), is_edge))
        kept = tuple(given[name] for name in carried)
        return kept if len(kept) > 1 else kept[0]

    note.counted = own  # type: ignore[attr-defined]
    setattr(module, helper, note)


def _int(value: Any) -> int:
    return int(getattr(value, "data", value))
