"""What was found of linear attention, for a reader.

Enters: `Linear` or `NotLinear`, and the schedule that computes it. Leaves: a sentence with its reasons, and values for
programs. Which schedules make use of it is said here and nowhere else.
"""

from __future__ import annotations

from typing import Any

from attnc.analyze.facts import Linear, NotLinear, Reason
from attnc.ir.nodes import Int, IntConst, Size
from attnc.ir.text import print_ir
from attnc.ir.walk import replace_terms, walk
from attnc.ir.words import plain_text

# The schedules whose time grows with the tokens.
OF_TOKENS = ("chunked", "products")

# What a chunk of tokens is in the count of products, and the width of queries and values.
CHUNK, WIDTH = 64, 64
LONGEST = 400
MOST_KEYS = 2048  # of most calls
GLUE = "\u00a0"  # a space at which no line ends


def say_linear(linear: Linear, schedule: str | None) -> tuple[str, list[Reason]]:
    """The sentence and its reasons. No schedule: there is no kernel."""
    count = len(linear.weight)
    products = "1 product" if count == 1 else f"{count} products"
    number = _at_width(linear.features)
    features = plain_text(linear.features) if number is None else str(number)
    features += " feature" if number == 1 else " features"
    if number is not None and Size("D") in walk(linear.features):
        features += f" at D{GLUE}={GLUE}{WIDTH}"
    text = " + ".join(terms_of(linear))
    text = text if len(text) <= LONGEST else "a long sum"
    sentence = f"{text}: {products} of a query and a key, {features}"
    return sentence, [*linear.because, *_why_of_pairs(linear, schedule)]


def linear_json(linear: Linear | NotLinear) -> dict[str, Any]:
    """The same for programs."""
    because = [str(reason) for reason in linear.because]
    if isinstance(linear, NotLinear):
        found: dict[str, Any] = {"terms": [], "features": None, "reason": because[0]}
    else:
        found = {"terms": terms_of(linear), "features": print_ir(linear.features), "reason": None}
    return {"found": isinstance(linear, Linear), **found, "because": because}


def terms_of(linear: Linear) -> list[str]:
    """Each term of the weight, as text."""
    return [plain_text(term.term) for term in linear.weight]


def _why_of_pairs(linear: Linear, schedule: str | None) -> list[Reason]:
    """Found, and computed pair by pair all the same."""
    if schedule in OF_TOKENS:
        return []
    number, who = _at_width(linear.features), f"the {schedule} schedule" if schedule else "the interpreter"
    text = f"found linear; {who} computes it, pair by pair"
    if number is not None:
        text += f": in time that grows with the tokens it would pay from about N = {_pays_from(number)}"
    return [Reason(text)]


def say_products(linear: Linear, schedule: str, keys: int) -> str | None:
    """What a query costs where time grows with the tokens, beside so many keys; None where it does not."""
    features = _at_width(linear.features)
    if schedule not in OF_TOKENS or features is None:
        return None
    own = 0 if linear.mask.is_of_all else CHUNK * (features + WIDTH)
    ways = 2 if own and linear.mask.causal is None else 1
    share = ways * (own + 2 * features * WIDTH) / (2 * WIDTH * max(1, keys))
    what = "a state and the keys of a chunk" if own else "a state"
    if ways == 2:
        what += ", forth and back,"
    dense = f"the products of dense attention (M = {keys}, D = DV = {WIDTH})"
    return f"{100 * share:.3g} % of {dense}: {what} for each query"


def say_dear(linear: Linear) -> str | None:
    """Why pairs are cheaper in most calls; None where they are not."""
    number = _at_width(linear.features)
    if number is not None and _pays_from(number) <= MOST_KEYS:
        return None
    if number is None:
        many, cost = plain_text(linear.features), "may cost more than the keys of a call"
    else:
        at = f" at D{GLUE}={GLUE}{WIDTH}" if Size("D") in walk(linear.features) else ""
        many, cost = f"{number}{at}", f"cost as much as {_pays_from(number)} keys"
    return f'products of features, {many}, {cost}; `schedule="linear"` takes them'


def _pays_from(features: int) -> int:
    """Where as many products are taken for chunks and their states as for all causal pairs."""
    chunked = CHUNK * (features + WIDTH) + 2 * features * WIDTH
    return -(-2 * chunked // (2 * WIDTH))


def _at_width(features: Int) -> int | None:
    """How many there are at the usual width, where that is all that they depend on."""
    found = replace_terms(features, lambda part: IntConst(WIDTH) if part == Size("D") else None)
    return found.value if isinstance(found, IntConst) else None
