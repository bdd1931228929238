"""What will be written, and why.

Enters: an attention and its facts. Leaves: a `Plan`, which every lowering reads and none changes. It chooses the
schedule, brings invariant factors together, and derives what the backward pass needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from attnc.algebra.derivative import ZERO, differentiate
from attnc.analyze.facts import Facts, Implied, Ranges, Reason, Requirement, Rows, TileTest
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
    says where the places in sorted arrays are read, which the ranges speak of. The result of each row is
    multiplied with `gate`. Tiles of the positions in `listed` come
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
    score_in_base_2: Real
    places: Mapping[Node, IntLoad]
    keys: Ranges
    queries: Ranges
    tiles: TileTest
    listed: frozenset[Literal["i", "j"]]
    rows: Rows
    gate: Real | None
    plain: Plain | None
    because: tuple[Reason, ...]

    @property
    def requires(self) -> tuple[Requirement, ...]:
        """What a call must meet, and checks."""
        return tuple(dict.fromkeys(self.keys.requires + self.queries.requires))

    def home(self, home: Home) -> tuple[ArrayGradient, ...]:
        return tuple(g for g in self.gradients if g.home == home)


def make_plan(attention: Attention, facts: Facts) -> Plan:
    """The plan for a kernel; raises `no-kernel` where there is none yet."""
    if facts.weights.kind != "softmax":
        label = Label(attention.normalize.span) if attention.normalize.span else None
        raise AttncError(
            Diagnostic(
                "no-kernel",
                f"`{attention.name}` has no kernel yet: its normalization is not softmax",
                label,
                helps=('`backend="reference"` runs it on the interpreter',),
            )
        )
    hoisted = hoist_token_maps(_simplified(attention, facts.implied))
    ranked = hoist_ranks((facts.keys, facts.queries), hoisted.attention.params)
    inner = replace(hoisted.attention, params=(*hoisted.attention.params, *ranked.params))
    score = regroup(inner.score)
    because = [
        *facts.implied.because,
        *hoisted.because,
        *ranked.because,
        *_reasons_of(facts.keys),
        *_reasons_of(facts.queries),
    ]
    gradients = tuple(_array_gradients(inner, score))
    because += [Reason(_why_pairs(g), g.load.span) for g in gradients if g.home == "pair"]
    plain = find_plain(inner, hoisted.dots)
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
        score_in_base_2=regroup(build.real("*", score, LOG2_E)),
        places=ranked.reads,
        keys=facts.keys,
        queries=facts.queries,
        tiles=facts.tiles,
        listed=frozenset(ranges.target for ranges in (facts.keys, facts.queries) if ranges.loose),
        rows=facts.rows,
        gate=facts.weights.gate,
        plain=plain,
        because=tuple(because),
    )


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


def dots_in(term: Real) -> list[Dot]:
    """The dot products of a term, each once."""
    return list(dict.fromkeys(part for part in walk(term) if isinstance(part, Dot)))
