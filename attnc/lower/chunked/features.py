"""Features of queries and keys, and the steps of the state, as torch computes them once for each token.

Enters: the form of a weight. Leaves: statements that make its tensors; torch differentiates them. Numbers of a token
are computed in float64, as positions and sums that run on need, and rounded once.

Exponents of the query and the key stay apart, as `exp(E(i) - H(j))`. Where it is a decay, steps of H carry the state
from key to key. Elsewhere the state is counted from R, the largest -H so far: keys have `exp(-H - R)`, which is at most
1, queries `exp(E + R)`, which is the largest weight that they meet, and the steps are those of -R.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from attnc.algebra.separated import Term
from attnc.ir import build
from attnc.ir.nodes import Bool, Node, Real, RealConst, Truth, Vec
from attnc.ir.walk import axes_of
from attnc.kernel.build import Block, function
from attnc.kernel.nodes import Expr, List, Unary, Var
from attnc.lower.chunked.form import Form
from attnc.lower.scope import note_of
from attnc.lower.torch_terms import is_number, torch
from attnc.lower.vectors import ExactVectors, Vectors

ONE = RealConst(1.0)
# Below the exponent of every key that is seen.
LEAST = -1e300
B, H, N, M = map(Var, "BHNM")


class FeaturesOfTokens:
    """Writes the tensors of a form into a block: features of queries, features of keys, and steps."""

    def __init__(self, block: Block, vectors: Vectors, form: Form) -> None:
        self.block, self.vectors, self.form = block, vectors, form
        self.exact = ExactVectors(vectors.sweep, places=vectors.places)
        self.exact.terms.dtype = self.exact.dtype
        self.sees_key: Expr | None = None
        if form.mask.sees_key != Truth(True):
            seen = self._column(form.mask.sees_key, "j")
            self.sees_key = block.let("sees_key", seen, note_of(form.mask.sees_key))

    def write(self) -> None:
        """The tensors of the form, under the names that it has for them."""
        form = self.form
        parts = [self._term(term, f"_{n}" if form.terms[1:] else "") for n, term in enumerate(form.terms, 1)]
        queries, keys, fades = ([*each] for each in zip(*parts, strict=True))
        if form.steps:
            self.block.let(form.steps, self._steps(fades, keys).to(Var("wide")))
        whole = _joined(keys)
        self.block.let(form.query, _joined(queries))
        self.block.let(form.key, whole if self.sees_key is None else torch.where(self.sees_key, whole, 0.0))

    def _term(self, term: Term, suffix: str) -> tuple[Expr, Expr, Expr | None]:
        """Features of queries and keys of one summand, and how the state fades, [B, heads, M, 1 or D], in float64."""
        of_query, of_key, fade = self._exponents(term, suffix)
        powers = [dot.power for dot in term.dots]
        query, key = build.real("*", term.share, term.query), term.key
        queries = self._features(
            self._of_tokens([dot.query for dot in term.dots], powers), query, of_query, "i", (B, H, N)
        )
        keys = self._features(
            self._of_tokens([dot.key for dot in term.dots], powers),
            key,
            of_key,
            "j",
            (B, Var("k").attr("shape")[1], M),
        )
        if not suffix:
            return queries, keys, fade
        return self.block.let(f"query{suffix}", queries), self.block.let(f"key{suffix}", keys), fade

    def _exponents(self, term: Term, suffix: str) -> tuple[Expr | None, Expr | None, Expr | None]:
        """What features of queries and of keys are multiplied with, and how the state fades."""
        gates = [dot for dot in term.dots if dot.gate]
        pairs: list[tuple[Node, Node]] = [term.exponent] if term.exponent else []
        pairs += [dot.gate for dot in gates if dot.gate]
        if not pairs:
            return None, None, None
        heads = H if any("h" in axes_of(each) for _, each in pairs) else 1
        running = reduce(Expr.__add__, (self._column(each, "j") for _, each in pairs))
        running = running.call("expand", B, heads, M, -1 if gates else 1)
        running = self.block.let(f"running{suffix}", running, note_of(pairs[0][1]))
        relative = [*([term.is_relative] if term.exponent else []), *(dot.is_relative for dot in gates)]
        if self.form.is_decay and all(relative):
            return None, None, function("_steps_of")(running)
        of_query = reduce(Expr.__add__, (self._column(each, "i") for each, _ in pairs))
        exponents: Expr = Unary("-", running)
        if self.sees_key is not None:
            exponents = torch.where(self.sees_key, exponents, LEAST)
        exponents = self.block.let(f"exponents{suffix}", exponents)
        if self.form.mask.causal is None:
            largest = self.block.let(f"largest{suffix}", function("_largest_of_all")(exponents))
            return (of_query + largest).call("exp"), (exponents - largest).call("exp"), None
        largest = self.block.let(f"largest{suffix}", function("_largest_so_far")(exponents))
        met = function("_at_last_key")(largest, self.vectors.terms(self.form.mask.causal), N)
        fade = function("_steps_of")(Unary("-", largest))
        return (of_query + met).call("exp"), (exponents - largest).call("exp"), fade

    def _of_tokens(self, vectors: Sequence[Vec], powers: Sequence[int]) -> Expr | None:
        """The products of vectors of each token; None where there are none."""
        parts = [
            self.vectors.mapped(each) if power == 1 else function("_powers")(self.vectors.mapped(each), power)
            for each, power in zip(vectors, powers, strict=True)
        ]
        return reduce(function("_products"), parts) if parts else None

    def _features(
        self, value: Expr | None, number: Real, factor: Expr | None, side: str, tokens: tuple[Expr, ...]
    ) -> Expr:
        """[B, heads, tokens, features] in the dtype of the inputs: vectors, times numbers of each token."""
        if value is None:
            value = Var("q").call("new_ones", *tokens, 1)
        if number != ONE:
            value = value * (self.exact.terms(number) if is_number(number) else self._column(number, side))
        if factor is not None:
            value = value * factor
        if factor is not None or not is_number(number):
            value = value.to(Var("dtype"))
        return value.call("expand", *tokens, -1)

    def _column(self, term: Node, side: str) -> Expr:
        """A number, a truth or a vector of each token, as [B, heads, tokens, 1 or D], in float64."""
        if isinstance(term, Vec):
            return self.exact(term)
        value = self.exact.terms(term)
        if is_number(term):
            kind = {} if isinstance(term, Bool) else {"dtype": self.exact.dtype}
            return torch.tensor(value, device=Var("q").attr("device"), **kind)
        return value.attr("mT") if side == "j" and "j" in axes_of(term) else value

    def _steps(self, fades: list[Expr | None], keys: list[Expr]) -> Expr:
        """One number of each step, or one for each feature."""
        if self.form.gates == "steps":
            fade = next(each for each in fades if each is not None)
            return fade.call("expand", B, H, M, 1).call("squeeze", 3)
        parts = [
            torch.zeros(B, H, M, key.attr("shape")[3], dtype=self.exact.dtype, device=Var("q").attr("device"))
            if fade is None
            else fade.call("expand", B, H, M, key.attr("shape")[3])
            for fade, key in zip(fades, keys, strict=True)
        ]
        return _joined(parts)


def _joined(parts: Sequence[Expr]) -> Expr:
    """Features side by side."""
    return torch.cat(List(tuple(parts)), -1) if parts[1:] else parts[0]
