"""Features of queries and keys, and the steps of the state, as torch computes them once for each token.

Enters: the form of a weight. Leaves: statements that make its tensors; torch differentiates them. Numbers of a token
are computed in float64, as positions and sums that run on need, and rounded once.

Exponents of the query and the key stay apart, as `exp(E(i) - H(j))`. Where it is a decay, steps of H carry the state
from key to key. Elsewhere the state is counted from R, the largest -H so far: keys have `exp(-H - R)`, which is at
most 1, queries `exp(E + R)`, which is the largest weight that they meet, and the steps are those of -R.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from attnc.algebra.polynomials import Polynomial
from attnc.algebra.separated import Term
from attnc.analyze.decays import left_at_last_key
from attnc.analyze.facts import TokenMask
from attnc.ir import build
from attnc.ir.nodes import Bool, Int, IntConst, Node, Real, RealConst, Size, Truth, Vec
from attnc.ir.walk import axes_of
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, List, Lit, Ternary, Unary, Var
from attnc.lower.chunked.form import Form
from attnc.lower.scope import note_of
from attnc.lower.torch_terms import is_number, torch
from attnc.lower.vectors import ExactVectors, Vectors
from attnc.sets.convert import to_int, to_polynomial

ONE, ZERO = RealConst(1.0), RealConst(0.0)
B, H, N, M = map(Var, "BHNM")


class FeaturesOfTokens:
    """Writes the tensors of forms into a block: features of queries, features of keys, and steps.

    `of_keys` are vectors where keys have heads of their own, and `vectors` all others.
    """

    def __init__(self, block: Block, vectors: Vectors, of_keys: Vectors, mask: TokenMask) -> None:
        self.block, self.mask = block, mask
        self.vectors = {"i": vectors, "j": of_keys}
        self.exact = {side: ExactVectors(each.sweep, each.terms.named) for side, each in self.vectors.items()}
        for each in self.exact.values():
            each.terms.dtype, each.terms.sums = each.dtype, vectors.terms.sums
        self.sees_key: Expr | None = None
        if mask.sees_key != Truth(True):
            self.sees_key = block.let("sees_key", self._column(mask.sees_key, "j"), note_of(mask.sees_key))

    def write(self, form: Form) -> None:
        """The tensors of the form, under the names that it has for them."""
        if form.divides:
            self._write_softmax(form)
            return
        parts = [
            self._term(form, term, f"_{n}" if form.terms[1:] else "") for n, term in enumerate(form.terms, 1)
        ]
        queries, keys, fades = ([*each] for each in zip(*parts, strict=True))
        if form.steps:
            self.block.let(form.steps, self._steps(form, fades, keys))
        self.block.let(form.query, _joined(queries))
        self.block.let(form.key, self.of_seen_keys(_joined(keys)))

    def _write_softmax(self, form: Form) -> None:
        """Weights of keys, steps from one log-sum-exp to the next, and that of each row."""
        (term,) = form.terms
        assert term.exponent is not None
        of_query, of_key = term.exponent
        causal, k_heads = self.mask.causal, Var("k").attr("shape")[1]
        heads = k_heads if "h" in axes_of(of_key) else 1
        assert isinstance(of_key, Real)
        scores = self._column(build.negative(of_key), "j", "scores").call("expand", B, heads, M, 1)
        if self.sees_key is not None:
            scores = torch.where(self.sees_key, scores, function("float")("-inf"))
        scores = self.block.let("scores", scores)
        sums: Expr = self.block.let("sums", function("_sums_of_keys")(scores, causal is not None))
        known = self.block.let("sums_from_first", function("_sums_from_first")(sums))
        if form.steps and causal is not None:
            steps = function("_steps_of")(Unary("-", known), Var("wide")).call("expand", B, H, M, 1)
            self.block.let(form.steps, steps.call("squeeze", 3))
            sums = function("_sums_at_rows")(sums, self.vectors["i"].terms(causal), N)
        row_lse = sums if of_query == ZERO else sums + self._column(of_query, "i")
        self.block.let("row_lse", row_lse.call("expand", B, H, N, 1).call("squeeze", 3).to(Var("wide")))
        ones = Var("q").call("new_ones", B, H, N, 1, dtype=Var("wide"))
        if of_query != ZERO:
            is_number = self._column(of_query, "i").call("isfinite")
            ones = torch.where(is_number, ones, function("float")("nan"))
        self.block.let(form.query, ones)
        weights = function("_weights_of_keys")(scores, known).to(Var("wide"))
        self.block.let(form.key, weights.call("expand", B, k_heads, M, 1))

    def of_seen_keys(self, value: Expr) -> Expr:
        """0 at keys that are hidden."""
        return value if self.sees_key is None else torch.where(self.sees_key, value, 0.0)

    def _term(self, form: Form, term: Term, suffix: str) -> tuple[Expr, Expr, Expr | None]:
        """Features of queries and keys of one summand, in float64, and how the state fades, [B, heads, M, 1 or D]."""
        of_query, of_key, fade = self._exponents(form, term, suffix)
        powers = [dot.power for dot in term.dots]
        queries = self._products([dot.query for dot in term.dots], powers, "i")
        queries = self._features(queries, build.real("*", term.share, term.query), of_query, "i")
        keys = self._products([dot.key for dot in term.dots], powers, "j")
        keys = self._features(keys, term.key, of_key, "j")
        if not suffix:
            return queries, keys, fade
        return self.block.let(f"of_query{suffix}", queries), self.block.let(f"of_key{suffix}", keys), fade

    def _exponents(self, form: Form, term: Term, suffix: str) -> tuple[Expr | None, Expr | None, Expr | None]:
        """What features of queries and of keys are multiplied with, and how the state fades."""
        pairs = term.exponents
        if not pairs:
            return None, None, None
        heads = H if any("h" in axes_of(each) for _, each in pairs) else 1
        width = -1 if any(dot.gate for dot in term.dots) else 1
        name = "" if pairs[1:] else f"running{suffix}"
        running = reduce(Expr.__add__, (self._column(each, "j", name) for _, each in pairs))
        running = self.block.let(f"running{suffix}", running.call("expand", B, heads, M, width))
        if form.is_decay:
            name = name and f"reached{suffix}"
            of_query = reduce(Expr.__add__, (self._column(each, "i", name) for each, _ in pairs))
            return (
                self._behind(of_query, running, pairs, suffix),
                None,
                function("_steps_of")(running, Var("wide")),
            )
        exponents: Expr = Unary("-", running)
        if self.sees_key is not None:
            exponents = torch.where(self.sees_key, exponents, function("float")("-inf"))
        exponents = self.block.let(f"exponents{suffix}", exponents)
        causal, fade = self.mask.causal, None
        reference = "_largest_of_all" if causal is None else "_largest_so_far"
        met: Expr = self.block.let(f"largest{suffix}", function(reference)(exponents))
        of_key = (exponents - met).call("exp")
        if causal is not None:
            fade = function("_steps_of")(Unary("-", met), Var("wide"))
            met = function("_at_last_key")(met, self.vectors["i"].terms(causal), N)
        of_query = reduce(Expr.__add__, (self._column(each, "i") for each, _ in pairs))
        return (of_query + met).call("exp"), of_key, fade

    def _behind(
        self, of_query: Expr, running: Expr, pairs: Sequence[tuple[Node, Node]], suffix: str
    ) -> Expr | None:
        """The decay from the last key that a query sees to the query; None where there is none."""
        causal = self.mask.causal
        assert causal is not None
        goes_on = all(left_at_last_key(pair, causal) == Polynomial() for pair in pairs)
        if goes_on and _are_keys(causal):
            return None
        offset = self.vectors["i"].terms(causal)
        apart = of_query - function("_at_last_key")(running, offset, N)
        if not (isinstance(causal, IntConst) and causal.value >= 0):
            apart = apart.call("masked_fill", Var("i") + offset < 0, 0.0)  # queries that see no key
        if not goes_on:
            return self.block.let(f"behind{suffix}", apart.call("exp"), "the decay from the last key")
        is_behind = N > M if causal == IntConst(0) else N + offset > M
        behind = Ternary(apart.call("exp"), is_behind, Lit(1.0))
        return self.block.let(f"behind{suffix}", behind, "the decay goes on behind the last key")

    def _products(self, vectors: Sequence[Vec], powers: Sequence[int], side: str) -> Expr | None:
        """The products of vectors of each token, in a wide dtype; a vector alone is itself, and none are None."""
        mapped = [self.vectors[side].mapped(vector) for vector in vectors]
        if sum(powers) > 1:
            mapped = [value.to(Var("wide")) for value in mapped]
        parts = [
            value if power == 1 else function("_powers")(value, power)
            for value, power in zip(mapped, powers, strict=True)
        ]
        return reduce(function("_products"), parts) if parts else None

    def _features(self, value: Expr | None, number: Real, factor: Expr | None, side: str) -> Expr:
        """[B, heads, tokens, features]: vectors, and where they are multiplied with numbers, in a wide dtype."""
        tokens = (B, H, N) if side == "i" else (B, Var("k").attr("shape")[1], M)
        if value is None:
            value = Var("q").call("new_ones", *tokens, 1, dtype=Var("wide"))
        if number != ONE and is_number(number):
            value = value.to(Var("wide")) * self.exact[side].terms(number)
        elif number != ONE:
            value = value * self._column(number, side)
        if factor is not None:
            value = value * factor
        if factor is not None or not is_number(number):
            value = value.to(Var("wide"))
        return value.call("expand", *tokens, -1)

    def _column(self, term: Node, side: str, name: str = "") -> Expr:
        """A number, a truth or a vector of each token, as [B, heads, tokens, 1 or D], in float64.

        It may have a `name` of its own before it is turned.
        """
        exact = self.exact[side]
        if isinstance(term, Vec):
            return exact(term)
        value = exact.terms(term)
        if is_number(term):
            kind = {} if isinstance(term, Bool) else {"dtype": exact.dtype}
            return torch.tensor(value, device=Var("q").attr("device"), **kind)
        if name and isinstance(value, Unary):
            value = Unary(value.op, self.block.let(name, value.a, note_of(term)))
        elif name:
            value = self.block.let(name, value, note_of(term))
        return value.attr("mT") if side == "j" and "j" in axes_of(term) else value

    def _steps(self, form: Form, fades: list[Expr | None], keys: list[Expr]) -> Expr:
        """One number of each step, or one for each feature."""
        if form.gates == "steps":
            fade = next(each for each in fades if each is not None)
            return fade.call("expand", B, H, M, 1).call("squeeze", 3)
        parts = [
            Var("q").call("new_zeros", B, H, M, key.attr("shape")[3], dtype=Var("wide"))
            if fade is None
            else fade.call("expand", B, H, M, key.attr("shape")[3])
            for fade, key in zip(fades, keys, strict=True)
        ]
        return _joined(parts)


def _are_keys(causal: Int) -> bool:
    """Is there a key at all places up to which a query may see, in every call?"""
    beyond = build.integer("-", build.integer("+", Size("N"), causal), Size("M"))
    found = to_int(to_polynomial(beyond))
    return isinstance(found, IntConst) and found.value <= 0


def _joined(parts: Sequence[Expr]) -> Expr:
    """Features side by side."""
    return torch.cat(List(tuple(parts)), -1) if parts[1:] else parts[0]
