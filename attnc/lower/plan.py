"""What will be written, and why.

Enters: an attention and its facts. Leaves: a `Plan`, which every lowering reads and none changes. It chooses the
schedule, brings invariant factors together, and derives what the backward pass needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from attnc.algebra.derivative import ONE, ZERO, differentiate
from attnc.analyze.facts import Facts, Implied, Ranges, Reason, Requirement, Rows, TileTest, Weights
from attnc.errors import AttncError, Diagnostic, Label
from attnc.ir import build
from attnc.ir.nodes import Attention, Dot, IntLoad, Node, Real, RealLoad
from attnc.ir.walk import axes_of, replace_terms, walk
from attnc.lower.hoist import DotPair, TokenMap, hoist_token_maps
from attnc.lower.plain import Plain, find_plain
from attnc.lower.ranks import hoist_ranks
from attnc.lower.regroup import LOG2_E, regroup

Home = Literal["row", "column", "pair"]


@dataclass(frozen=True, slots=True)
class ArrayGradient:
    """The gradient of one reading of a float array: `ds * derivative`, summed at its `home`.

    `row`: over the keys of each query, in the registers of the dQ kernel. `column`: over the queries of each key, in
    the dK/dV kernel. `pair`: the index mixes both positions, so pairs are written out, a strip of queries at a time.
    """

    load: RealLoad
    derivative: Real
    home: Home
    name: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule and everything that its lowering has to know.

    `spec` is the attention as written, `attention` the same with the work on single tokens (`maps`) taken out. `places`
    says where the places in sorted arrays are read, which the ranges speak of. `score` is in base 2
    where the weights are softmax. Tiles of the positions in `listed` come
    from lists that the tile test makes, the others from ranges.
    """

    schedule: Literal["tiled"]
    spec: Attention
    attention: Attention
    maps: tuple[TokenMap, ...]
    per_query_head: bool
    dots: tuple[DotPair, ...]
    dot_gradients: tuple[Real, ...]
    gradients: tuple[ArrayGradient, ...]
    score: Real
    weights: Weights
    places: Mapping[Node, IntLoad]
    keys: Ranges
    queries: Ranges
    tiles: TileTest
    listed: frozenset[Literal["i", "j"]]
    rows: Rows
    plain: Plain | None
    because: tuple[Reason, ...]

    @property
    def requires(self) -> tuple[Requirement, ...]:
        """What a call must meet, and checks."""
        return tuple(dict.fromkeys(self.keys.requires + self.queries.requires))

    @property
    def row_results(self) -> tuple[str, ...]:
        """What the kernels leave for each row beside the result."""
        if self.weights.kind == "softmax":
            return ("lse",)
        return tuple(f"sum_{n}" for n in range(1, len(self.weights.sums) + 1))

    @property
    def saved(self) -> tuple[str, ...]:
        """What of the results the backward pass reads."""
        return ("out", "lse") if self.weights.kind == "softmax" else ()

    @property
    def count(self) -> str | None:
        """The row's number of visible keys, where it is a sum."""
        return f"sum_{self.weights.sums.index(ONE) + 1}" if ONE in self.weights.sums else None

    def home(self, home: Home) -> tuple[ArrayGradient, ...]:
        return tuple(g for g in self.gradients if g.home == home)


def make_plan(attention: Attention, facts: Facts) -> Plan:
    """The plan for a kernel; raises `no-kernel` where there is none yet."""
    if facts.weights.kind == "other":
        label = Label(attention.normalize.span) if attention.normalize.span else None
        raise AttncError(
            Diagnostic(
                "no-kernel",
                f"`{attention.name}` has no kernel yet: {facts.weights.because[-1].text}",
                label,
                helps=('`backend="reference"` runs it on the interpreter',),
            )
        )
    hoisted = hoist_token_maps(_simplified(attention, facts.implied))
    ranked = hoist_ranks((facts.keys, facts.queries), hoisted.attention.params)
    inner = replace(hoisted.attention, params=(*hoisted.attention.params, *ranked.params))
    score = regroup(inner.score)
    weights = _with_count(facts)
    because = [
        *facts.implied.because,
        *hoisted.because,
        *ranked.because,
        *_reasons_of(facts.keys),
        *_reasons_of(facts.queries),
    ]
    gradients = tuple(_array_gradients(inner, score))
    because += [Reason(_why_pairs(g), g.load.span) for g in gradients if g.home == "pair"]
    plain = find_plain(inner, hoisted.dots) if weights.kind == "softmax" else None
    if plain:
        because.append(
            Reason(f"plain {plain.kind} attention: on the CPU, float32 goes to torch's own kernel")
        )
    return Plan(
        schedule="tiled",
        spec=attention,
        attention=inner,
        maps=(*hoisted.maps, *ranked.maps),
        per_query_head=hoisted.per_query_head,
        dots=hoisted.dots,
        dot_gradients=tuple(regroup(differentiate(score, pair.dot)) for pair in hoisted.dots),
        gradients=gradients,
        score=regroup(build.real("*", score, LOG2_E)) if weights.kind == "softmax" else score,
        weights=weights,
        places=ranked.reads,
        keys=facts.keys,
        queries=facts.queries,
        tiles=facts.tiles,
        listed=frozenset(ranges.target for ranges in (facts.keys, facts.queries) if ranges.loose),
        rows=facts.rows,
        plain=plain,
        because=tuple(because),
    )


def _with_count(facts: Facts) -> Weights:
    """Rows without a key are told by their count, where what they are multiplied with may be no number."""
    weights = facts.weights
    if weights.kind != "sums" or not facts.rows.can_be_empty or ONE in weights.sums:
        return weights
    return replace(weights, sums=(*weights.sums, ONE))


def _simplified(attention: Attention, implied: Implied) -> Attention:
    """What the mask implies, put to use."""
    score = replace_terms(attention.score, implied.terms.get)
    assert isinstance(score, Real)
    return replace(attention, mask=implied.mask, score=score)


def _reasons_of(ranges: Ranges) -> list[Reason]:
    what, whose = ("keys", "queries") if ranges.target == "j" else ("queries", "keys")
    if not ranges.loose:
        return [Reason(f"the tiles of {what} that a tile of {whose} visits are bounds in closed form")]
    why, *_ = ranges.loose
    text = f"the tiles of {what} that a tile of {whose} visits are listed before the kernel runs, because {why.text}"
    return [Reason(text, why.span)]


def _array_gradients(attention: Attention, score: Real) -> list[ArrayGradient]:
    loads = dict.fromkeys(part for part in walk(score) if isinstance(part, RealLoad))
    found: list[ArrayGradient] = []
    for load in loads:
        derivative = regroup(differentiate(score, load))
        if derivative == ZERO:
            continue
        axes = axes_of(load)
        home: Home = "pair" if {"i", "j"} <= axes else "column" if "j" in axes else "row"
        count = sum(g.load.array == load.array for g in found)
        name = f"d_{load.array}" + (f"_{count + 1}" if count else "")
        found.append(ArrayGradient(load, derivative, home, name))
    return found


def _why_pairs(gradient: ArrayGradient) -> str:
    return (
        f"the gradient of `{gradient.load.array}` is summed from strips of query-key pairs, because its index mixes "
        "both positions"
    )


def said_results(plan: Plan) -> str:
    """What a forward function returns, in words."""
    rows = plan.row_results
    named = f"{', '.join(rows[:-1])}{' and ' if rows[1:] else ''}{rows[-1]} [B, H, N]" if rows else ""
    return f"out [B, H, N, DV]{' and ' if len(rows) == 1 else ', ' if rows else ''}{named}"


def dots_in(term: Real) -> list[Dot]:
    """The dot products of a term, each once."""
    return list(dict.fromkeys(part for part in walk(term) if isinstance(part, Dot)))
