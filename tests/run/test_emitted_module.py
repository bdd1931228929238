"""The emitted module is the product: it stands alone, reads well, and is the same text wherever it is written."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from compilations import EXAMPLES, NAMES, compiled, example

import attnc
from attnc.cli import main

ROOT = Path(__file__).parent.parent.parent

# Many parameters with long names, one of every kind, and terms that no line of 100 columns holds.
LONG = """
attention long(document_of_token: sorted int[B, N], chunk_of_the_sequence: int, width_of_a_vector: int,
               additive_bias_of_chunks: float[H, N // chunk_of_the_sequence], is_everything_visible: bool,
               vector_of_each_query: float[N, width_of_a_vector], rows: int, cols: int,
               gate_of_the_output: float[B, H, N, DV], temperature_of_the_scores: float = 3.0):
    grid      y: rows, x: cols
    query     rope(q * vector_of_each_query[i, :], i, 1000.0)
    mask      document_of_token[b, i] == document_of_token[b, j] and (is_everything_visible or j <= i)
    score     dot(q, k) * scale / temperature_of_the_scores + additive_bias_of_chunks[h, i // chunk_of_the_sequence]
    output    gate_of_the_output[b, h, i, :] * o + v_i
"""


# ---- how it reads ----------------------------------------------------------------------------------


def check_text(text: str) -> None:
    too_long = [line for line in text.splitlines() if len(line) > 100 and not line.startswith("#")]
    assert too_long == []
    assert text.isascii() or all(line.startswith("#") for line in text.splitlines() if not line.isascii())
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile(text, "m", "exec")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_clean_file(name: str) -> None:
    check_text(example(name).module)


def test_long_names_are_broken_where_they_can_be() -> None:
    check_text(compiled(LONG).module)


def test_ruff_finds_nothing(tmp_path: Path) -> None:
    for name, compilation in {"long": compiled(LONG), **{name: example(name) for name in NAMES}}.items():
        (tmp_path / f"{name}.py").write_text(compilation.module, encoding="utf-8")
    rules = ["--select", "F,E4,E7,E9,W6", str(tmp_path)]
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--quiet", *rules]
    found = subprocess.run(ruff, text=True, capture_output=True)
    assert found.stdout + found.stderr == ""


# ---- it is the same everywhere ---------------------------------------------------------------------

HASHES = """
import hashlib, sys
from pathlib import Path
from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.source import Source
for path in map(Path, sys.argv[1:]):
    text = Compilation(Source(path.name, path.read_text(encoding="utf-8"))).module
    print(path.stem, hashlib.sha256(text.encode()).hexdigest())
"""


@pytest.mark.slow
def test_the_text_depends_on_the_spec_alone(tmp_path: Path) -> None:
    texts = {name: example(name).module for name in NAMES}
    here = "".join(f"{name} {hashlib.sha256(text.encode()).hexdigest()}\n" for name, text in texts.items())
    paths = [str(EXAMPLES / f"{name}.attn") for name in NAMES]
    for seed, folder in (("0", tmp_path), ("1", ROOT), ("4242", tmp_path)):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", HASHES, *paths]
        found = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        assert found.stdout == here


# ---- it stands alone -------------------------------------------------------------------------------

# What a program does with the file, in a process where nothing of attnc can be imported.
ALONE = """
import runpy, sys
from importlib.abc import MetaPathFinder

class Blocker(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("attnc", "lark"):
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Blocker())
sys.path.insert(0, sys.argv[1])
import torch
import first, second

main = runpy.run_path(first.__file__, run_name="__main__")
given = torch.load(sys.argv[2])
results = {}
for backend in ("cpu", "triton"):
    for name, f in (("first", first.sliding_window), ("second", second.sliding_window),
                    ("main", main["sliding_window"])):
        q, k, v = (x.clone().requires_grad_() for x in given["inputs"])
        out, lse = f(q, k, v, window=given["window"], return_lse=True, backend=backend)
        (out * given["weight"]).sum().backward()
        results[f"{name} {backend}"] = [out.detach(), lse.detach(), q.grad, k.grad, v.grad]
assert not [name for name in sys.modules if name.partition(".")[0] == "attnc"]
torch.save(results, sys.argv[2])
"""


@pytest.mark.slow
def test_it_runs_where_there_is_no_attnc(tmp_path: Path) -> None:
    """Built by the command, saved under two names and run as a script, on both paths, forward and backward."""
    spec = EXAMPLES / "sliding_window.attn"
    for name in ("first", "second"):
        assert main(["build", str(spec), "-o", str(tmp_path / f"{name}.py")]) == 0
    make = torch.Generator().manual_seed(0)
    inputs = [torch.randn(shape, generator=make) for shape in ((2, 4, 70, 8), (2, 2, 75, 8), (2, 2, 75, 12))]
    weight = torch.randn(2, 4, 70, 12, generator=make)
    passed = tmp_path / "passed.pt"
    torch.save({"inputs": inputs, "weight": weight, "window": 9}, passed)
    subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(tmp_path), str(passed)],
        cwd=tmp_path,
        env=os.environ | {"TRITON_INTERPRET": "1"},
        check=True,
    )
    q, k, v = (x.clone().requires_grad_() for x in inputs)
    out, lse = attnc.load(spec).reference(q, k, v, window=9, return_lse=True)
    (out * weight).sum().backward()
    expected = [out.detach(), lse.detach(), q.grad, k.grad, v.grad]
    results = torch.load(passed)
    assert len(results) == 6
    for found in results.values():
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)


# ---- calls without tokens --------------------------------------------------------------------------

CASES = {
    "causal": {},
    "alibi": {"slope": torch.tensor([0.5, 0.25])},
    "t5_bias": {"bias": torch.linspace(-1, 1, 64).view(2, 32)},
    "sliding_window": {"window": 3},
}


@pytest.mark.parametrize(("B", "N", "M"), [(0, 5, 5), (1, 0, 5), (1, 5, 0), (1, 0, 0)])
@pytest.mark.parametrize("name", CASES)
def test_a_call_without_tokens_has_a_result(name: str, B: int, N: int, M: int) -> None:
    f = attnc.load(EXAMPLES / f"{name}.attn")
    results = []
    for call in (f, f.reference):
        q, k, v = (torch.ones(B, 2, n, 4, requires_grad=True) for n in (N, M, M))
        arrays = {
            name: value.clone().requires_grad_() if isinstance(value, torch.Tensor) else value
            for name, value in CASES[name].items()
        }
        out, lse = call(q, k, v, return_lse=True, **arrays)
        out.sum().backward()
        tensors = [q, k, v, *(value for value in arrays.values() if isinstance(value, torch.Tensor))]
        gradients = [torch.zeros_like(x) if x.grad is None else x.grad for x in tensors]
        results.append([out.detach(), lse.detach(), *gradients])
    torch.testing.assert_close(*results)


# ---- names that the module has for itself ----------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["out", "dq", "lse", "delta", "rows", "forward", "num_warps", "list", "numbers", "Tensor"],
)
def test_a_parameter_may_have_any_name(name: str) -> None:
    scalar = f"attention f({name}: int, x: float[H, N]):\n    mask j <= i and i - j < {name}\n"
    array = f"attention f(w: int, {name}: float[H, N]):\n    mask j <= i and i - j < w\n"
    q, x = torch.linspace(-1, 1, 40).view(1, 2, 5, 4), torch.linspace(-1, 1, 10).view(2, 5)
    results = []
    for text, used, given in ((scalar, "x", {name: 3, "x": x}), (array, name, {"w": 3, name: x})):
        f = attnc.compile(text + f"    score dot(q, k) * scale + {used}[h, j]\n")
        results.append(f(q, q, q, **given))
        torch.testing.assert_close(results[-1], f.reference(q, q, q, **given))
    assert torch.equal(*results)
