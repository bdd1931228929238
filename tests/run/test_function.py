"""The object behind `attnc.load` and `attnc.compile`."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

import attnc
from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.options import make_options
from attnc.run.function import AttentionFunction
from attnc.source import Source

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
WINDOW = '''
attention window(width: int = 4, bias: float[H, N, M]):
    """Near keys, with a bias."""
    mask  j <= i and i - j < width
    score dot(q, k) * scale + bias[h, i, j]
'''
TWO = "attention one():\n    mask j <= i\n\nattention two():\n    mask i <= j\n"


def tensors(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def test_reference_is_attention() -> None:
    q, k, v, bias = tensors((2, 4, 9, 8), (2, 2, 9, 8), (2, 2, 9, 5), (4, 9, 9))
    f = attnc.compile(WINDOW)
    i, j = torch.arange(9)[:, None], torch.arange(9)
    mask = bias.masked_fill((j > i) | (i - j >= 3), -torch.inf)
    expected = scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    torch.testing.assert_close(f.reference(q, k, v, width=3, bias=bias), expected)
    out, lse = f.reference(q, k, v, width=3, bias=bias, scale=0.0, return_lse=True)
    assert out.shape == (2, 4, 9, 5)
    torch.testing.assert_close(lse, torch.logsumexp(mask, dim=-1).expand(2, 4, 9))


def test_the_reference_backend_calls_the_interpreter() -> None:
    q, k, v = tensors((1, 1, 5, 4), (1, 1, 5, 4), (1, 1, 5, 4))
    f = attnc.load(EXAMPLES / "causal.attn", backend="reference")
    assert torch.equal(f(q, k, v), f.reference(q, k, v))


def test_it_looks_like_a_function() -> None:
    f = attnc.compile(WINDOW)
    assert f.__name__ == "window"
    assert f.__doc__ == "Near keys, with a bias."
    call = "scale=None, return_lse=False, initial_state=None, return_state=False"
    assert str(inspect.signature(f)) == f"(q, k, v, *, width=4, bias, {call})"
    assert repr(f) == f"<attention window{inspect.signature(f)} of <string>>"
    assert (
        attnc.compile("attention bare():\n    mask j <= i\n").__doc__ == "The attention `bare` of <string>."
    )


def test_a_copy_is_the_same_function() -> None:
    q, k, v, bias = tensors((1, 1, 5, 4), (1, 1, 5, 4), (1, 1, 5, 4), (1, 5, 5))
    f = attnc.compile(WINDOW, backend="reference")
    for other in (pickle.loads(pickle.dumps(f)), copy.deepcopy(f)):
        assert isinstance(other, AttentionFunction)
        assert torch.equal(other(q, k, v, bias=bias), f(q, k, v, bias=bias))


def test_explain_and_facts_agree() -> None:
    f = attnc.load(EXAMPLES / "sliding_window.attn")
    assert f.facts.keys.closed
    assert all(reason.text in " ".join(f.explain().split()) for reason in f.facts.keys.because)


# ---- which attention -------------------------------------------------------------------------------


def test_name_chooses() -> None:
    assert attnc.compile(TWO, name="two").__name__ == "two"
    assert [f.__name__ for f in Compilation(Source("<string>", TWO)).functions().values()] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "name", "code", "message"),
    [
        (TWO, None, "which-attention", "`<string>` holds several attentions: `one`, `two`"),
        (TWO, "tow", "unknown-attention", "`<string>` holds no attention `tow`; it holds `one`, `two`"),
        ("def f(x) = x\n", None, "no-attention", "`<string>` holds no attention: it is a library of macros"),
    ],
)
def test_a_choice_that_cannot_be_made(text: str, name: str | None, code: str, message: str) -> None:
    with pytest.raises(AttncError) as caught:
        attnc.compile(text, name=name)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == (code, message)


def test_mistakes_of_a_text_are_raised_together() -> None:
    with pytest.raises(AttncError) as caught:
        attnc.compile("attention a():\n    mask j <= windw\n    score dott(q, k)\n")
    assert {d.code for d in caught.value.diagnostics} == {"unknown-name", "unknown-function"}
    assert "<string>:2:15" in str(caught.value)


# ---- the emitted module, by one that is written by hand --------------------------------------------

EMITTED = """
def causal(q, k, v, *, scale=None, return_lse=False, backend="auto", **parameters):
    return q, scale, return_lse, backend, parameters
"""


@dataclass(frozen=True)
class Emitted(Compilation):
    @property
    def text(self) -> str:  # type: ignore[override]
        return EMITTED


def test_a_call_goes_to_the_emitted_module() -> None:
    text = (EXAMPLES / "causal.attn").read_text()
    f = AttentionFunction(Emitted(Source("causal.attn", text), make_options(backend="triton")))
    assert f.source == EMITTED
    assert f("q", "k", "v", scale=2.0, return_lse=True, window=3) == ("q", 2.0, True, "triton", {"window": 3})


# ---- the emitted module ----------------------------------------------------------------------------


def test_a_call_on_the_cpu_gives_what_the_reference_gives() -> None:
    q, k, v = (x.requires_grad_() for x in tensors((1, 2, 50, 8), (1, 1, 50, 8), (1, 1, 50, 8)))
    f = attnc.load(EXAMPLES / "sliding_window.attn")
    torch.testing.assert_close(f(q, k, v, window=7), f.reference(q, k, v, window=7))
    grads = [torch.autograd.grad(g(q, k, v, window=7).sin().sum(), (q, k, v)) for g in (f, f.reference)]
    torch.testing.assert_close(*grads)
    assert inspect.getsource(f._emitted[False]) in f._compilation.on_cpu.text


def test_torch_compile_takes_a_function_that_was_never_called() -> None:
    q, k, v = tensors((1, 1, 5, 4), (1, 1, 5, 4), (1, 1, 5, 4))
    f = attnc.load(EXAMPLES / "causal.attn")
    compiled = torch.compile(lambda q, k, v: f(q, k, v) * 2, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(q, k, v), 2 * f.reference(q, k, v))
