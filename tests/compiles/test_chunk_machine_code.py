"""Machine code of the kernels of chunked linear attention: limits, hazards, and the page that has its figures.

They have none of the hazards, so no version of Triton has to be refused.
"""

from __future__ import annotations

import pytest
import triton
from chunk_report import page_of
from chunks import CASES, Case, build_kernels, find_hazards, hash_of_kernels, rows_of
from pages import row
from turns import in_turn

from attnc.inspect.targets import SM_90

OF_16_ROWS = ("channel_weights", "channel_pairs")  # too few for wgmma
OF_PAIRS = ("pair_outputs", "pair_gradients", "pair_steps")  # which multiply no matrices


def read_page() -> list[str]:
    """The lines of the page of this Triton."""
    return page_of(triton.__version__).read_text(encoding="utf-8").splitlines()


@pytest.mark.compiles
@pytest.mark.parametrize("case", in_turn(CASES), ids=lambda case: "-".join(map(str, case.cells)))
def test_machine_code(case: Case) -> None:
    """No spills; products by the matrix unit; nothing that Hopper gets wrong; and the rows that the page has."""
    kernels = build_kernels(case)
    for each in kernels:
        figures = each.figures
        assert (figures.kernel, figures.spilled, figures.serialized) == (figures.kernel, 0, False)
        assert figures.shared <= case.target.shared_memory
        has_products = figures.kernel not in OF_PAIRS
        has_wgmma = has_products and case.target is SM_90 and figures.kernel not in OF_16_ROWS
        has_mma = has_products and not has_wgmma
        assert (figures.whole.wgmma > 0, figures.whole.mma > 0) == (has_wgmma, has_mma), figures.kernel
        assert each.hazards == [], figures.kernel
    begins = row(*case.cells)
    assert rows_of(case, kernels) == [line for line in read_page() if line.startswith(begins)]


@pytest.mark.skipif(not page_of(triton.__version__).exists(), reason="no page of this Triton")
def test_the_page_is_of_these_kernels() -> None:
    """`python tests/compiles/chunk_report.py` writes it anew."""
    (line,) = (line for line in read_page() if line.startswith("The figures are of the kernels"))
    assert f"`{hash_of_kernels()}`" in line


HAZARDS = """
%8 = tt.trans %7 {order = array<i32: 1, 0>} : tensor<64x64xbf16, #mma> -> tensor<64x64xbf16, #linear> loc(#1)
%1 = ttng.warp_group_dot %f, %g, %2 : !ttg.memdesc<64x32xbf16, #s, #smem> * !ttg.memdesc<32x64xbf16, #s, #smem> -> tensor<64x64xf32, #mma> loc(#1)
%3 = ttng.warp_group_dot %f, %g, %2 {isAsync = true} : tensor<64x64xbf16, #d> * !ttg.memdesc<64x64xbf16, #s, #smem> -> tensor<64x64xf32, #mma> loc(#1)
scf.yield %3 : tensor<64x64xf32, #mma>
""".strip()  # noqa: E501
HARMLESS = """
%8 = ttg.memdesc_trans %7 {order = array<i32: 1, 0>} : !ttg.memdesc<64x64xbf16, #s, #smem>
%3 = ttng.warp_group_dot %f, %g, %2 {isAsync = true} : tensor<64x64xbf16, #d> * !ttg.memdesc<64x64xbf16, #s, #smem> -> tensor<64x64xf32, #mma> loc(#1)
%4 = ttng.warp_group_dot_wait %3 {pendings = 0 : i32} : tensor<64x64xf32, #mma> loc(#1)
scf.yield %4 : tensor<64x64xf32, #mma>
""".strip()  # noqa: E501


def test_each_hazard_is_seen() -> None:
    assert find_hazards(HAZARDS) == HAZARDS.splitlines()[:3]
    assert find_hazards(HARMLESS) == []
