"""What another process compiled is taken as it is; anything else is compiled anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import attnc
from attnc.compiler import Compilation
from attnc.options import make_options
from attnc.run import memory
from attnc.run.memory import Declared, Known, recall, remember
from attnc.source import Source

SPEC = '''attention near(window: int = 3, cap: float = 2.0, on: bool = true):
    """Nearby."""
    mask i - j < window
'''
PROGRAM = """
import sys, torch, attnc

f = attnc.load(sys.argv[1])
torch.manual_seed(0)
q, k, v = (torch.randn(1, 2, 30, 8, requires_grad=True) for _ in range(3))
out = f(q, k, v, window=4)
(dq,) = torch.autograd.grad(out.sum(), q)
print(f, f.__doc__, out.double().sum().item(), dq.double().sum().item(), sep="|")
print([name for name in ("lark", "sympy", "triton", "attnc.check", "attnc.lower") if name in sys.modules])
"""


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("ATTNC_CACHE", str(folder))
    return folder


def known(text: str, **options: object) -> Known | None:
    return recall(Source("near.attn", text), make_options(**options).key)


def compiled(text: str, **options: object) -> Compilation:
    compilation = Compilation(Source("near.attn", text), make_options(**options))
    assert compilation.text == compilation.module
    return compilation


def test_the_next_process_compiles_nothing(tmp_path: Path) -> None:
    spec = tmp_path / "near.attn"
    spec.write_text(SPEC)
    command = [sys.executable, "-c", PROGRAM, str(spec)]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2))
    (said, loaded), (again, then) = (done.stdout.splitlines() for done in (first, second))
    assert said == again and said.startswith(
        "<attention near(q, k, v, *, window=3, cap=2.0, on=True, scale=None"
    )
    assert "lark" in loaded and then == "[]"


def test_what_is_kept() -> None:
    compilation = compiled(SPEC)
    found = known(SPEC)
    assert found == Known(compilation.declared, compilation.module)
    assert found.declared == Declared("near", "Nearby.", (("window", 3), ("cap", 2.0), ("on", True)))
    assert [type(default) for _, default in found.declared.parameters] == [int, float, bool]


def test_another_text_or_name_or_option_is_another() -> None:
    compiled(SPEC)
    assert known(SPEC + "\n") is None
    assert known(SPEC, check_sorted=False) is None
    assert known(SPEC, kernels=False) is None
    assert recall(Source("far.attn", SPEC), "") is None
    compiled(SPEC, kernels=False)
    assert known(SPEC) != known(SPEC, kernels=False) is not None


def test_a_file_that_is_not_whole_is_not_taken(cache: Path) -> None:
    compiled(SPEC)
    (path,) = cache.glob("compiled_*.json")
    whole = path.read_text()
    kept = json.loads(whole)
    for broken in (
        "",
        whole[: len(whole) // 2],
        "[]",
        "{}",
        json.dumps({**kept, "text": kept["text"] + "\nimport os"}),
        json.dumps({**kept, "declared": None}),
        json.dumps({**kept, "declared": {"name": "near"}}),
    ):
        path.write_text(broken)
        assert known(SPEC) is None
        compiled(SPEC)
        assert path.read_text() == whole


def test_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ATTNC_CACHE", str(tmp_path / "file" / "below"))
    compiled(SPEC)
    assert known(SPEC) is None


def test_what_comes_from_other_files_is_compiled_anew(tmp_path: Path) -> None:
    (tmp_path / "masks.attn").write_text("def near = i - j < 3\n")
    (tmp_path / "mine.attn").write_text("from masks import near\n\nattention mine():\n    mask near\n")
    q = torch.eye(6)[None, None]
    before = attnc.load(tmp_path / "mine.attn")(q, q, q)
    (tmp_path / "masks.attn").write_text("def near = i - j < 1\n")
    after = attnc.load(tmp_path / "mine.attn")(q, q, q)
    assert not torch.equal(before, after)


def test_what_comes_from_the_standard_library_is_kept() -> None:
    text = "from std import causal\n\nattention past():\n    mask causal\n"
    compiled(text)
    assert known(text) is not None


def test_another_state_of_the_compiler_is_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tmp_path / "attnc"
    for folder in ("lower", "__pycache__"):
        (root / folder).mkdir(parents=True)
    source, kept = Source("near.attn", SPEC), Known(Declared("near", "", ()), "text")
    monkeypatch.setattr(memory, "ROOT", root)

    def is_known() -> bool:
        memory._state.cache_clear()
        return recall(source, "") is not None

    try:
        assert not is_known()
        remember(source, "", kept)
        assert is_known()
        (root / "__pycache__" / "plan.pyc").write_text("")
        assert is_known()
        (root / "lower" / "plan.py").write_text("one")
        assert not is_known()
        remember(source, "", kept)
        assert is_known()
        os.utime(root / "lower" / "plan.py", ns=(1, 1))
        assert not is_known()
    finally:
        memory._state.cache_clear()
