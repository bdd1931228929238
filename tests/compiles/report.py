"""Writes docs/gate/triton-VERSION.md: `python tests/compiles/report.py`, or with names of examples their rows anew.

Enters: nothing, and the page as it was where names are given. Leaves: a page that says for every example whether its
kernels hold the limits of the gate, at heads 64 and 128 wide on sm_90 and sm_80, with the usual tiles and the Triton
that is installed; and where they do not, whether those do that `attnc build --arch` chooses.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import triton

from attnc.inspect import choose
from attnc.inspect.targets import TARGETS

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

from compilations import CHUNKED, WITH_KERNELS, example  # noqa: E402
from emitted import NUMBERS, report  # noqa: E402
from pages import header, row  # noqa: E402

PAGES = TESTS.parent / "docs/gate"
CALLS = [(gpu, width) for gpu in ("sm_90", "sm_80") for width in (64, 128)]
PASSES = "passes"
CHOSEN = "with chosen tiles "
PAGE = """# The gate, by Triton {version}

Made by `python tests/compiles/report.py`: the kernels of every example in bfloat16, with the tiles that every module
has. `../machine-code.md` says what the limits are. {passed} of {all} pass, and {chosen} more with the tiles that
`attnc build --arch` chooses. Where one does not, the kernels are named, and the first limit that each does not hold.

{table}
"""


def main(names: Sequence[str]) -> None:
    """Write the page of this Triton."""
    page = PAGES / f"triton-{triton.__version__}.md"
    verdicts = {name: row for name, row in read(page).items() if name in WITH_KERNELS} if names else {}
    calls = [(name, *call) for name in names or WITH_KERNELS for call in CALLS]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as processes:
        found = list(processes.map(judge, *zip(*calls, strict=True)))
    for n, name in enumerate(names or WITH_KERNELS):
        verdicts[name] = found[len(CALLS) * n : len(CALLS) * (n + 1)]
    every = [verdict for row in verdicts.values() for verdict in row]
    text = PAGE.format(
        version=triton.__version__,
        passed=sum(verdict == PASSES for verdict in every),
        chosen=sum(verdict.endswith(CHOSEN + PASSES) for verdict in every),
        all=len(every),
        table="\n".join(_table(verdicts)),
    )
    PAGES.mkdir(exist_ok=True)
    page.write_text(text)


def read(page: Path) -> dict[str, list[str]]:
    """The verdicts of a page, which stand in its table."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    return {name: row for name, *row in rows}


def judge(name: str, gpu: str, width: int) -> str:
    """`passes`, or the first fault of each kernel that has one, and how it is with chosen tiles."""
    target, first = TARGETS[gpu], dict[str, str]()
    for verdict in report(name, target, width).failures:
        first.setdefault(verdict.kernel, verdict.what)
    if not first:
        return PASSES
    faults = "; ".join(f"{kernel} {what}" for kernel, what in first.items())
    if name in CHUNKED:  # their tiles serve every GPU
        return faults
    found = choose(example(name), target, widths=(width,), numbers=NUMBERS.get(name, {}))
    left = [choice.best.verdict if choice.best else "nothing starts" for choice in found.choices]
    return f"{faults}; {CHOSEN}{PASSES if found.holds else ', '.join(v for v in left if v != PASSES)}"


def _table(verdicts: dict[str, list[str]]) -> Iterator[str]:
    yield from header("example", *(f"{gpu}, D = {width}" for gpu, width in CALLS))
    for name in sorted(verdicts):
        yield row(name, *verdicts[name])


if __name__ == "__main__":
    main(sys.argv[1:])
