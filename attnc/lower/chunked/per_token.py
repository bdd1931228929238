"""What linear attention asks of single tokens, as torch operations before its recurrence.

Enters: a sweep. Leaves: `_per_token`, which maps q, k and v as the spec says, and makes the features, the steps and the
documents of every form. Torch differentiates.
"""

from __future__ import annotations

from attnc.ir.nodes import (
    KEY_HEAD,
    OF_FLOATS,
    Index,
    IntConst,
    IntLoad,
    Node,
    Truth,
    VecInput,
)
from attnc.ir.walk import replace_terms, walk
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Var
from attnc.kernel.nodes import Function, Param
from attnc.lower.chunked.features import B, FeaturesOfTokens, H, M, N
from attnc.lower.chunked.state import BEFORE, counting_on, counts_on, made_of_tokens
from attnc.lower.chunked.sweep import LinearSweep
from attnc.lower.scope import note_of
from attnc.lower.torch_terms import is_number, torch
from attnc.lower.vectors import Vectors

Q, K, V = VecInput("q"), VecInput("k"), VecInput("v")


def lower_per_token(sweep: LinearSweep) -> Function:
    """`_per_token(q, k, v, ...)`: the tensors of the recurrence; without v, where no value is weighed."""
    if sweep.why_no_state is None and counts_on(sweep):
        sweep = counting_on(sweep)
    block, vectors, spec = Block(), Vectors(sweep), sweep.spec
    of_keys = vectors if sweep.per_query_head else Vectors(sweep, {KEY_HEAD: Var("h_kv")})
    vectors.enter(block)
    numbers = _numbers_of(sweep)
    of_rows = {array.name for array in sweep.row_arrays}
    for array in _read_in(numbers):  # once, so that their gradients are rounded once
        name = spec.variable(array)
        block.let(name, Var(name).to(torch.value("float64")), of_spec=array not in of_rows)
    vectors.name_sums(block, numbers)
    of_keys.terms.sums = vectors.terms.sums
    if sweep.per_query_head:
        for name in ("k", "v") if sweep.weighs_values else ("k",):
            block.let(name, Var(name).call("repeat_interleave", H // Var(name).attr("shape")[1], 1))
    for of, given, clause in ((vectors, Q, spec.query), (of_keys, K, spec.key), (of_keys, V, spec.value)):
        if clause != given and (given != V or sweep.weighs_values):
            block.let(given.name, of.mapped(clause), note_of(clause))
    tokens = FeaturesOfTokens(block, vectors, of_keys, sweep.mask)
    for form in sweep.forms:
        tokens.write(form)
    if sweep.weighs_values:
        heads = Var("k").attr("shape")[1]
        block.let("v", tokens.of_seen_keys(Var("v").call("expand", B, heads, M, -1)))
    _documents(block, vectors, sweep)
    block.returns(*map(Var, made_of_tokens(sweep)))
    names = [
        "q",
        "k",
        *(["v"] if sweep.weighs_values else []),
        "scale",
        BEFORE.name,
        *(sweep.spec.variable(p.name) for p in (*spec.params, *sweep.row_arrays)),
    ]
    doc = "What the spec asks of single tokens, once for each."
    return block.function(sweep.named("_per_token"), map(Param, names), doc, "_without_autocast")


def _numbers_of(sweep: LinearSweep) -> list[Node]:
    """What numbers of tokens and exponents are made of."""
    terms = [term for form in sweep.forms for term in form.terms]
    pairs = [pair for term in terms for pair in term.exponents]
    numbers: list[Node] = [part for term in terms for part in (term.share, term.query, term.key)]
    return [*numbers, *(part for pair in pairs for part in pair)]


def _read_in(numbers: list[Node]) -> list[str]:
    """The float arrays that they read."""
    parts = (part for number in numbers for part in walk(number))
    return list(dict.fromkeys(part.array for part in parts if isinstance(part, OF_FLOATS)))


def _documents(block: Block, vectors: Vectors, sweep: LinearSweep) -> None:
    """The documents of queries and of keys: a query that sees nothing is in one of its own."""
    if not sweep.documents:
        return
    mask, document = sweep.mask, sweep.mask.document or IntConst(0)
    arrays = dict.fromkeys(load.array for load in walk(document) if isinstance(load, IntLoad))
    for name in map(sweep.spec.variable, arrays):
        block.let(name, function("_with_places")(Var(name)), of_spec=True)
    at_key = replace_terms(document, lambda part: Index("j") if part == Index("i") else None)
    of_queries, of_keys = (
        torch.as_tensor(vectors.terms(term), device=Var("q").attr("device"))
        if is_number(term)
        else vectors.terms(term)
        for term in (document, at_key)
    )
    if mask.sees_query != Truth(True):
        none = torch.iinfo(torch.value("int64")).attr("min")
        of_queries = torch.where(vectors.terms(mask.sees_query), of_queries.call("long"), none)
    queries, keys = sweep.documents
    block.let(queries, of_queries.call("expand", B, 1, N, 1).call("flatten", 1), note_of(document))
    block.let(keys, of_keys.call("expand", B, 1, 1, M).call("flatten", 1))
