"""The words the language itself has, and where each of them means something.

Enters: nothing. Leaves: tables. A new built-in word is a new line here.
"""

from __future__ import annotations

import keyword
from dataclasses import dataclass
from typing import Literal

ClauseWord = Literal["query", "key", "value", "mask", "score", "normalize", "output"]
PlaceWord = Literal[
    "query", "key", "value", "mask", "score", "normalize", "output", "let", "size", "grid", "const", "default"
]

HEADS = ("h", "h_kv")
POSITIONS = ("b", *HEADS, "i", "j")
VECTORS = ("q", "k", "v", "v_i", "o")
SIZES = ("B", "H", "HKV", "N", "M", "D", "DV")
CLAUSES = ("grid", "let", "query", "key", "value", "mask", "score", "normalize", "output")
TYPES = ("int", "float", "bool", "const", "sorted")
GRAMMAR = ("attention", "def", "from", "import", "and", "or", "not", "in", "if", "else", "true", "false")

# Reserved for later versions of the language.
LATER = ("source", "stage", "select", "state", "where", "over", "quant")

# Arguments that every compiled attention takes beside its own parameters.
CALL_WORDS = ("self", "return_lse", "initial_state", "return_state", "backend")

# What a module speaks of at its top, beside names that start with `_`: no attention can be called that.
MODULE_WORDS = (
    "torch", "triton", "tl", "math", "numbers", "os", "sys", "inspect", "Tensor", "FLOATS", "LOG2_E", "MINUS_INF",
    "TILE", "TILES",
    "TypeError", "ValueError", "abs", "all", "any", "bool", "dict", "float", "getattr", "hasattr", "int", "isinstance",
    "len", "list", "lru_cache", "map", "max", "min", "next", "range", "slice", "sorted", "str", "tuple", "type", "zip",
)  # fmt: skip

ELEMENTWISE = (
    "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "silu", "softplus", "abs", "sin", "cos",
)  # fmt: skip
REDUCTIONS = ("sum", "max", "min", "mean")

# The arguments each function takes, by name; `min` and `max` take any number and no names.
SIGNATURES: dict[str, tuple[str, ...] | None] = {
    **{fn: ("x",) for fn in ELEMENTWISE},
    "min": None,
    "max": None,
    "clamp": ("x", "lo", "hi"),
    "floor": ("x",),
    "ispow2": ("x",),
    "dot": ("a", "b"),
    "sum_d": ("x",),
    "total": ("x",),
    "l2": ("x",),
    "rope": ("x", "position", "theta"),
    "sum": ("x",),
    "mean": ("x",),
    "count": (),
}

NAMES = frozenset((*POSITIONS, *VECTORS, *SIZES, "s", "scale"))
BUILT_IN = NAMES | frozenset(SIGNATURES)
RESERVED = frozenset((*CLAUSES, *TYPES, *GRAMMAR, *LATER, "std", *keyword.kwlist))


@dataclass(frozen=True, slots=True)
class Place:
    """Where an expression stands: the names that mean something there, and how to call it in a message."""

    word: PlaceWord
    names: frozenset[str]
    title: str
    has_sizes: bool = True
    has_reductions: bool = False
    has_parameters: bool = True

    @property
    def needs(self) -> frozenset[str]:
        """The names, and `sum` where there are reductions: what `find_needs` of a term here may hold."""
        return self.names | {"sum"} if self.has_reductions else self.names


def _clause(word: ClauseWord, *names: str) -> Place:
    return Place(word, frozenset((*names, "scale")), f"`{word}`", has_reductions=word == "normalize")


PLACES: dict[PlaceWord, Place] = {
    "query": _clause("query", "b", *HEADS, "i", "q"),
    "key": _clause("key", "b", *HEADS, "j", "k"),
    "value": _clause("value", "b", *HEADS, "j", "v"),
    "mask": _clause("mask", "b", *HEADS, "i", "j"),
    "score": _clause("score", "b", *HEADS, "i", "j", "q", "k"),
    "normalize": _clause("normalize", "b", *HEADS, "i", "j", "s"),
    "output": _clause("output", "b", *HEADS, "i", "o", "v_i"),
    # A `let` is checked where it is used.
    "let": Place("let", frozenset((*POSITIONS, *VECTORS, "s", "scale")), "a `let`", has_reductions=True),
    "size": Place("size", frozenset(), "the size of an array"),
    "grid": Place("grid", frozenset(), "the extent of a grid axis"),
    "const": Place("const", frozenset(), "a `const`", has_sizes=False, has_parameters=False),
    "default": Place("default", frozenset(), "a default value", has_sizes=False, has_parameters=False),
}

# What to write instead of a name that has no meaning in a clause.
INSTEAD: dict[tuple[str, str], str] = {
    ("query", "j"): "a query is mapped once, for every key: use `i`, its own position",
    ("query", "k"): "a vector is mapped on its own: put what joins `q` and `k` into `score`",
    ("key", "i"): "a key is mapped once, for every query: use `j`, its own position",
    ("key", "q"): "a vector is mapped on its own: put what joins `q` and `k` into `score`",
    ("value", "i"): "a value is mapped once, for every query: use `j`, its own position",
    ("value", "k"): "a vector is mapped on its own: pass what you need as an array parameter",
    ("mask", "q"): "a mask reads positions and parameters: put what depends on `q` into `score`",
    ("mask", "k"): "a mask reads positions and parameters: put what depends on `k` into `score`",
    ("mask", "v"): "a mask reads positions and parameters only",
    ("mask", "s"): "a mask is known before the score: put what depends on `s` into `normalize`",
    ("score", "s"): "the score is what this clause defines: write `dot(q, k) * scale`",
    ("score", "v"): "a score joins `q` and `k`: put what maps `v` into `value`",
    ("normalize", "q"): "`normalize` sees the score `s`: put what depends on `q` into `score`",
    ("normalize", "k"): "`normalize` sees the score `s`: put what depends on `k` into `score`",
    ("normalize", "v"): "`normalize` gives the weight of `v`: put what maps it into `value`",
    ("normalize", "o"): "put what maps the result into `output`",
    ("output", "j"): "the result is summed over the keys: only `i` is left",
    ("output", "v"): "the result is summed over the keys: `v_i` is the value at the query's own position",
    ("output", "q"): "`output` maps `o`: pass what you need as an array parameter",
    ("output", "s"): "the score is gone once the keys are summed: put it into `normalize`",
}

# For names that only one clause has.
BELONGS: dict[str, str] = {
    "s": "`s` is the score inside `normalize`",
    "o": "`o` is the result inside `output`",
    "v_i": "`v_i` is the value at the query's own position, inside `output`",
    "q": "`q` is the query vector, inside `query` and `score`",
    "k": "`k` is the key vector, inside `key` and `score`",
    "v": "`v` is the value vector, inside `value`",
}
