"""Which tiles the emitted kernels go through, in Triton's interpreter.

Enters: a spec and a call, by a pipe, as Triton decides when it is imported whether it interprets. Leaves: for every
tile that the helper of a loop was given: batch, head and program, its first position, and whether it was masked. The
helper itself is put aside and gives back what it was given, so that only the loops run.
"""

from __future__ import annotations

import ast
import inspect
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

HELPERS = {"_add_keys": "keys", "_add_keys_backward": "keys", "_add_queries": "queries"}
KERNELS = {
    "_add_keys": "_forward",
    "_add_keys_backward": "_backward_queries",
    "_add_queries": "_backward_keys",
}
Visit = tuple[int, int, int, int, bool]


class Counter:
    """A process that counts."""

    def __init__(self) -> None:
        root = Path(__file__).parent.parent.parent
        path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def count(
        self, text: str, values: dict[str, Any], sizes: dict[str, int], tile: tuple[int, int]
    ) -> dict[str, list[Visit]]:
        """The visits of each helper, in order."""
        assert self.process.stdin is not None and self.process.stdout is not None
        pickle.dump((text, values, sizes, tile), self.process.stdin)
        self.process.stdin.flush()
        answer = pickle.load(self.process.stdout)
        assert isinstance(answer, dict), answer
        return answer


@contextmanager
def counting() -> Iterator[Counter]:
    counter = Counter()
    try:
        yield counter
    finally:
        counter.process.kill()
        counter.process.communicate()


def main() -> None:
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    import warnings

    import numpy as np

    warnings.filterwarnings(
        "ignore", category=RuntimeWarning
    )  # nothing is summed up, and so all rows are empty
    np.seterr(all="ignore")
    from attnc.verify.worker import _mend_interpreter

    _mend_interpreter()
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer: object = _count(*request)
        except Exception as problem:
            answer = f"{type(problem).__name__}: {problem}"
        pickle.dump(answer, answers)
        answers.flush()


def _count(
    text: str, values: dict[str, Any], sizes: dict[str, int], tile: tuple[int, int]
) -> dict[str, list[Visit]]:
    import torch

    from attnc.compiler import Compilation
    from attnc.run.loader import load_module
    from attnc.source import Source

    compilation = Compilation(Source("counted.attn", text))
    name = compilation.attention.name
    module = load_module("counted", compilation.module)
    for rows in module.TILES.values():
        for kernel, widths in rows.items():
            rows[kernel] = dict.fromkeys(widths, (*tile, 4, 1))
    module._splits = lambda *sizes: 0
    visits: dict[str, list[Visit]] = {}
    for helper in HELPERS:
        visits[helper] = []
        _note_visits(module, helper, visits[helper], sizes)
    B, H, HKV, N, M = (sizes[size] for size in ("B", "H", "HKV", "N", "M"))
    vectors = [torch.zeros(B, h, n, 16, requires_grad=True) for h, n in ((H, N), (HKV, M), (HKV, M))]
    getattr(module, name)(*vectors, **values, backend="triton").sum().backward()
    return visits


def _note_visits(module: ModuleType, helper: str, visits: list[Visit], sizes: dict[str, int]) -> None:
    from triton.runtime.interpreter import interpreter_builder

    own = getattr(module, helper)
    own = getattr(own, "counted", getattr(own, "fn", None))
    signature = inspect.signature(own)
    (ending,) = (
        n for n in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(own)))) if isinstance(n, ast.Return)
    )
    assert ending.value is not None
    carried = [n.id for n in ast.walk(ending.value) if isinstance(n, ast.Name)]

    kernel = inspect.getsource(getattr(module, KERNELS[helper]).fn)
    is_last_first = "tl.num_programs(0) - 1 - tl.program_id(0)" in kernel

    def note(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        program, head, batch = interpreter_builder.grid_idx
        first, *_ = given.values()
        if helper == "_add_queries":  # one program goes through the heads that share its keys
            head = _int(given["row"]) // sizes["N"] - batch * sizes["H"]
        is_edge = bool(_int(given.get("EDGE", True)))  # a kernel without full tiles does not ask
        if is_last_first:  # programs are counted by their tiles
            program = interpreter_builder.grid_dim[0] - 1 - program
        visits.append((batch, head, program, _int(first), is_edge))
        kept = tuple(given[name] for name in carried)
        return kept if len(kept) > 1 else kept[0]

    note.counted = own  # type: ignore[attr-defined]
    setattr(module, helper, note)


def _int(value: Any) -> int:
    value = getattr(value, "value", value)
    return int(value.handle.data.item()) if hasattr(value, "handle") else int(value)


if __name__ == "__main__":
    main()
