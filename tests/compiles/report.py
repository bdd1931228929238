"""Writes docs/gate/triton-VERSION.md: `python tests/compiles/report.py`, and names of examples for a part of it.

Enters: nothing. Leaves: a page that says for every example whether its kernels hold the limits of the gate, at heads 64
and 128 wide on sm_90 and sm_80, with the usual tiles and the Triton that is installed; and where they do not, whether
those do that `attnc build --arch` chooses.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import triton
from emitted import NAMES, NUMBERS, report, spec
from pages import header, row

from attnc.inspect import choose
from attnc.inspect.targets import TARGETS

PAGES = Path(__file__).parent.parent.parent / "docs/gate"
CALLS = [(gpu, width) for gpu in ("sm_90", "sm_80") for width in (64, 128)]
PASSES = "passes"
CHOSEN = "with chosen tiles "
PAGE = """# The gate, by Triton {version}

Made by `{command}`: the kernels of every example in bfloat16, with the tiles that every module has.
`../machine-code.md` says what the limits are. {passed} of {all} pass, and {chosen} more with the tiles that
`attnc build --arch` chooses. Where one does not, the kernels are named, and the first limit that each does not hold.

{table}
"""


def main(names: Sequence[str]) -> None:
    """Write the page of this Triton."""
    calls = [(name, *call) for name in names or NAMES for call in CALLS]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as processes:
        verdicts = dict(zip(calls, processes.map(judge, *zip(*calls, strict=True)), strict=True))
    text = PAGE.format(
        version=triton.__version__,
        command=" ".join(["python tests/compiles/report.py", *names]),
        passed=sum(verdict == PASSES for verdict in verdicts.values()),
        chosen=sum(verdict.endswith(CHOSEN + PASSES) for verdict in verdicts.values()),
        all=len(calls),
        table="\n".join(_table(names or NAMES, verdicts)),
    )
    PAGES.mkdir(exist_ok=True)
    (PAGES / f"triton-{triton.__version__}.md").write_text(text)


def judge(name: str, gpu: str, width: int) -> str:
    """`passes`, or the first fault of each kernel that has one, and how it is with chosen tiles."""
    target, first = TARGETS[gpu], dict[str, str]()
    for verdict in report(name, target, width).failures:
        first.setdefault(verdict.kernel, verdict.what)
    if not first:
        return PASSES
    found = choose(spec(name), target, widths=(width,), numbers=NUMBERS.get(name, {}))
    left = [choice.best.verdict if choice.best else "nothing starts" for choice in found.choices]
    faults = "; ".join(f"{kernel} {what}" for kernel, what in first.items())
    return f"{faults}; {CHOSEN}{PASSES if found.holds else ', '.join(v for v in left if v != PASSES)}"


def _table(names: Sequence[str], verdicts: dict[tuple[str, str, int], str]) -> Iterator[str]:
    yield from header("example", *(f"{gpu}, D = {width}" for gpu, width in CALLS))
    for name in names:
        yield row(name, *(verdicts[name, gpu, width] for gpu, width in CALLS))


if __name__ == "__main__":
    main(sys.argv[1:])
