"""Machine code is read as it is written: excerpts of the dQ kernel of `causal`, each beside what a person counts in it.

The excerpts have every branch, wait and matrix product of what Triton 3.9 made for heads 64 wide (of AMDGCN a third of
the products), and every eighth exp2 or so.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from attnc.inspect.figures import Part, count_part, read_log
from attnc.inspect.instructions import Code, Language, find_loops, find_overlap, read_instructions

HERE = Path(__file__).parent
SHARE = 256 / (128 * 64)  # threads for a pair of a tile


def excerpt(language: Language) -> Code:
    return read_instructions((HERE / f"backward_queries.{language.lower()}").read_text(), language)


def sass(*lines: str) -> Code:
    """One instruction a line, at 0x0, 0x10, and so on."""
    numbered = [f"        /*{16 * n:04x}*/                   {line} ;" for n, line in enumerate(lines)]
    return read_instructions("\n".join(numbered), "SASS")


def test_sass() -> None:
    code = excerpt("SASS")
    assert [count_part(name, loop, SHARE) for name, loop in zip("ab", find_loops(code), strict=True)] == [
        Part("a", 32, 1.0, 0, 12, 0, 4, 0, 0, 0, 4, 0, 0.75),
        Part("b", 34, 1.06, 0, 12, 0, 4, 0, 0, 0, 4, 0, 1.0),
    ]
    assert count_part("all", code, None) == Part("all", 81, None, 0, 24, 0, 8, 0, 2, 0, 8, 0, None)


def test_ptx() -> None:
    code = excerpt("PTX")
    assert [count_part(name, loop, SHARE) for name, loop in zip("ab", find_loops(code), strict=True)] == [
        Part("a", 32, 1.0, 0, 12, 0, 4, 0, 0, 0, 4, 0, None),
        Part("b", 33, 1.03, 0, 12, 0, 4, 0, 0, 0, 4, 0, None),
    ]
    assert code.count("load") == 2


def test_amdgcn() -> None:
    code = excerpt("AMDGCN")
    assert [count_part(name, loop, SHARE) for name, loop in zip("ab", find_loops(code), strict=True)] == [
        Part("a", 11, 0.34, 0, 0, 6, 0, 0, 1, 0, 2, 0, None),
        Part("b", 12, 0.38, 0, 0, 6, 0, 0, 1, 0, 2, 0, None),
    ]
    assert (code.count("special"), code.count("load")) == (1, 5)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("UTCHMMA", "tcgen05"),
        ("UTCQMMA.2CTA", "tcgen05"),
        ("UTCBAR", "other"),
        ("HGMMA.64x64x16.F32.BF16", "wgmma"),
        ("HMMA.16816.F32.BF16", "mma"),
        ("LDGSTS.E.BYPASS.128", "cp.async"),
        ("LDGDEPBAR", "other"),
        ("LDG.E.128", "load"),
        ("UTMALDG.2D", "tma"),
        ("LDL.64", "local"),
        ("STL", "local"),
        ("MUFU.EX2", "exp2"),
        ("MUFU.RCP", "special"),
        ("WARPGROUP.DEPBAR.LE", "wait"),
        ("WARPGROUP.ARRIVE", "other"),
        ("DEPBAR.LE", "other"),
    ],
)
def test_kinds_of_sass(name: str, kind: str) -> None:
    (found,) = sass(f"{name} R0, R1").instructions
    assert (found.name, found.kind) == (name, kind)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%r1,%r2}, %rd1, %rd2, 0, 1;", "wgmma"),
        ("wgmma.commit_group.sync.aligned;", "other"),
        ("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 { %r1 }, { %r2 };", "mma"),
        ("cp.async.cg.shared.global [ %r1 + 0 ], [ %rd1 + 0 ], 0x10, %r2;", "cp.async"),
        ("cp.async.commit_group;", "other"),
        ("@%p1 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier [%r1], [%rd1];", "tma"),
        ("@!%p2 ld.global.v4.b32 { %r1, %r2 }, [ %rd1 + 0 ];", "load"),
        ("st.local.b32 [%rd1], %r1;", "local"),
        ("ex2.approx.ftz.f32 %r1, %r2;", "exp2"),
        ("rcp.approx.ftz.f32 %r1, %r2;", "special"),
    ],
)
def test_kinds_of_ptx(line: str, kind: str) -> None:
    assert [each.kind for each in read_instructions(f"\t{line}\n", "PTX").instructions] == [kind]


# ---- loops -----------------------------------------------------------------------------------------


def test_only_innermost_loops_are_visited_tile_by_tile() -> None:
    code = sass("FADD R0", "HMMA R0", "BRA 0x10", "FADD R1", "@P0 BRA 0x0", "EXIT", "BRA 0x60")
    assert [loop.size for loop in find_loops(code)] == [2]


def test_a_loop_in_a_loop_over_tiles_is_part_of_it() -> None:
    code = sass("HMMA R0", "LDG R1", "@P0 BRA 0x10", "BRA 0x0")
    assert [loop.size for loop in find_loops(code)] == [4]


def test_a_wait_behind_all_else_makes_no_loop() -> None:
    """As on sm_100: what waits for a product stands at the end, and goes back to the middle of the loop."""
    wait, back = "@!P0 BRA 0x70", "@P0 BRA 0x30"
    code = sass(
        "FADD R0", "UTCHMMA R0", wait, "MUFU.EX2 R1", "UTCHMMA R0", "BRA.U UP0, 0x10", "EXIT", "NOP", back
    )
    (loop,) = find_loops(code)
    assert (loop.size, loop.count("tcgen05"), find_overlap(loop)) == (5, 2, None)


def test_loops_without_products_count_where_a_kernel_has_none() -> None:
    sum_, products = ("FADD R0", "BRA 0x0"), ("HMMA R0", "BRA 0x20")
    assert len(find_loops(sass(*sum_))) == 1
    assert [loop.count("mma") for loop in find_loops(sass(*sum_, *products))] == [1]


# ---- what runs beside a matrix product -------------------------------------------------------------

EXP2, CLOSES, WAIT = "MUFU.EX2 R0, R0", "HGMMA R1, R2, gsb0", "WARPGROUP.DEPBAR.LE gsb0, 0x0"


@pytest.mark.parametrize(
    ("lines", "share"),
    [
        ((CLOSES, WAIT, EXP2), 0),
        ((CLOSES, EXP2, WAIT), 1),
        ((CLOSES, EXP2, WAIT, EXP2), 0.5),
        ((EXP2, WAIT, CLOSES), 1),  # of the round before
        ((WAIT, EXP2, CLOSES), 0),
        (("HGMMA R1, R2", EXP2, CLOSES, WAIT), 1),  # a group that is still being issued
        ((CLOSES, CLOSES, "WARPGROUP.DEPBAR.LE gsb0, 0x1", EXP2, WAIT), 1),  # one of two groups is left
        ((CLOSES, WAIT), None),
        ((EXP2, "HMMA R0"), None),
    ],
)
def test_overlap(lines: tuple[str, ...], share: float | None) -> None:
    assert find_overlap(sass(*lines)) == share


# ---- what the assembler says -----------------------------------------------------------------------


def test_registers_and_the_worst_of_stack_and_spills() -> None:
    log = """ptxas info    : Compiling entry function '_forward' for 'sm_90a'
    24 bytes stack frame, 16 bytes spill stores, 40 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 24 bytes cumulative stack size
"""
    assert read_log(log) == (255, 40)
    assert read_log("ptxas info    : Used 48 registers, used 1 barriers") == (48, 0)
