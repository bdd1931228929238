"""Writes docs/linear.md: `python tests/analyze/linear_page.py`.

Enters: the attentions of `specs/`. Leaves: what is found of each, as a table.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import process_time

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS)]

from compilations import file, one_of  # noqa: E402

from attnc.analyze.facts import Linear  # noqa: E402
from attnc.analyze.linear import find_linear  # noqa: E402
from attnc.analyze.linear_words import terms_of  # noqa: E402
from attnc.compiler import Compilation  # noqa: E402
from attnc.errors import AttncError  # noqa: E402
from attnc.ir.nodes import Node  # noqa: E402
from attnc.ir.words import plain_text  # noqa: E402
from attnc.lower.plan import make_plan  # noqa: E402
from attnc.options import ScheduleName  # noqa: E402

PAGE = TESTS.parent / "docs" / "linear.md"
SPECS = TESTS / "analyze" / "specs"
LINEAR, NOT_LINEAR = SPECS / "linear.attn", SPECS / "not_linear.attn"

TOP = """\
# Linear attention

Where the weight of a pair is a sum of products of what the query knows and what the key knows, a row of the result is
a sum over keys that no query takes part in, times what the query adds: time grows with the tokens, not with the pairs.
Nobody has to ask for it. The formula is taken apart, and `attnc explain` says into what, or what stands in the way:

- What knows one position alone stands as it is: any function of a query, of a key, of their positions and arrays.
- Sums, products, quotients and whole powers are followed, and so is the exponential of a sum of what knows one side
  each: a decay. Angles of differences are two products. Dot products are sums over features, to whole powers.
- Whatever else knows the query and the key at once is refused, and named. Numbers decide nothing: a smooth function of
  a distance looks like a few products, and is none.
- A mask may bound the keys by the query (`j <= i`, also with an offset), keep to documents whose numbers do not fall,
  and ask anything of the query alone or of the key alone.
- A normalization may take any sums over the row, and numbers of rows that earlier passes find. A softmax does where no
  dot product stands in its score.

**features** is how many numbers of a token meet each number of a value: rows of the state.

**goes** says how it is computed: `chunked`, a state from chunk to chunk of 64 tokens, under a causal mask; `products`,
one state for all queries; or `tiled`, pair by pair, where that is cheaper or surer: `attnc explain` has the reason.
`schedule="tiled"` asks for pairs, and `schedule="linear"` for states also where products of features are more than the
keys of most calls, as those of a power of a dot product are: 2145 at D = 64, but 153 at D = 16. Where a power fades, as
`gamma[h] ** (i - j)`, its base has to be above 0 in a call.

## States

```python
out, state = f(q, k, v, return_state=True)
out, state = f(q1, k1, v1, initial_state=state, return_state=True)  # as if q, k, v stood in front
```

A state is a dict of tensors, with gradients through it, and may be learned. Queries and keys of a call are of the same
tokens, one or more; arrays are those of the new tokens, positions count on, and a document goes on where its number is
that of the last token before. What knows the number of all tokens has no state: `attnc explain` says so, with the line.

## This page

The page is made by `python tests/analyze/linear_page.py` of [linear.attn](../tests/analyze/specs/linear.attn) and
[not_linear.attn](../tests/analyze/specs/not_linear.attn). That the terms make the weight of every pair is a test.
"""


def attentions(path: Path) -> list[Compilation]:
    return [one_of(path, attention.name) for attention in file(path).attentions]


def page(times: str) -> str:
    lines = [
        TOP,
        times,
        "",
        "## What is linear",
        "",
        "| attention | says | is | features | goes |",
        "|---|---|---|---|---|",
    ]
    for each in attentions(LINEAR):
        found = each.facts.linear
        assert isinstance(found, Linear), (each.attention.name, found)
        terms = " + ".join(f"`{term}`" for term in terms_of(found))
        features = f"`{plain_text(found.features)}`"
        lines.append(row(f"`{each.attention.name}`", says(each), terms, features, goes(each)))
    lines += ["", "## What is not", "", "| attention | says | because |", "|---|---|---|"]
    for each in attentions(NOT_LINEAR):
        found = each.facts.linear
        assert not isinstance(found, Linear), each.attention.name
        lines.append(row(f"`{each.attention.name}`", says(each), found.because[0].text))
    return "\n".join(lines) + "\n"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def goes(compilation: Compilation) -> str:
    """The schedule, and what another one is that may be asked for."""
    usual, asked = (schedule_of(compilation, wanted) for wanted in ("auto", "linear"))
    return f"{usual}; {asked} if asked" if asked not in (None, usual) else usual or "the interpreter"


def schedule_of(compilation: Compilation, wanted: ScheduleName) -> str | None:
    """Its name; None where there is none."""
    try:
        return make_plan(compilation.attention, compilation.facts, wanted).schedule.name
    except AttncError:
        return None


def says(compilation: Compilation) -> str:
    """The clauses that matter, as they are written."""
    attention = compilation.attention
    clauses: Sequence[tuple[str, Node]] = (
        ("mask", attention.mask),
        ("score", attention.score),
        ("normalize", attention.normalize),
    )
    written = [(word, " ".join(term.span.text.split())) for word, term in clauses if term.span]
    texts = [f"`{word} {text}`" for word, text in written if text != attention.name]
    return "<br>".join(texts)


def times() -> str:
    """How long an analysis takes, once every library is there."""
    each = [time_of(compilation) for path in (LINEAR, NOT_LINEAR) for compilation in attentions(path)]
    return f"Taking a formula apart takes {median(each):.1f} ms (median of {len(each)}), {max(each):.1f} ms at most."


def time_of(compilation: Compilation) -> float:
    facts = compilation.facts
    start = process_time()
    find_linear(compilation.attention, facts.implied, facts.weights)
    return (process_time() - start) * 1000


if __name__ == "__main__":
    PAGE.write_text(page(times()), encoding="utf-8")
