"""Writes docs/gate/chunks-triton-VERSION.md: `python tests/compiles/chunk_report.py`.

Enters: nothing. Leaves: a page with the figures of every kernel of chunks, for the cases of `chunks.py`, made by the
Triton that is installed.
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import triton

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

from chunks import CASES, COLUMNS, Case, build_kernels, hash_of_kernels, rows_of  # noqa: E402
from pages import header  # noqa: E402

PAGES = TESTS.parent / "docs/gate"
PAGE = """# Kernels of chunks, by Triton {version}

Made by `python tests/compiles/chunk_report.py`: the kernels of linear attention, which stand in `attnc/support/` and
not in the golden files, in bfloat16 with 4 heads of queries on 2 of keys. `gates` says what fades: nothing, a number
of each head, or each channel of the keys. Registers and spilled bytes are of a thread, shared memory is a block's.
Kernels of pairs look again where a number is none, and multiply no matrices. `../machine-code.md` has the hazards.

The figures are of the kernels `{kernels}`, a hash of their text and of what they are launched with.

{table}
"""


def main() -> None:
    """Write the page of this Triton."""
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as processes:
        rows = [row for found in processes.map(build_rows, CASES) for row in found]
    table = "\n".join([*header(*COLUMNS), *rows])
    text = PAGE.format(version=triton.__version__, kernels=hash_of_kernels(), table=table)
    page_of(triton.__version__).write_text(text, encoding="utf-8")


def page_of(version: str) -> Path:
    """The page of a Triton."""
    return PAGES / f"chunks-triton-{version}.md"


def build_rows(case: Case) -> list[str]:
    """The rows of a case, anew."""
    return rows_of(case, build_kernels(case))


if __name__ == "__main__":
    main()
