"""Short ways to check a text in a test."""

from __future__ import annotations

from collections.abc import Mapping

from verify_ir import verify

from attnc.check import find_mistakes
from attnc.check.standard import Module
from attnc.errors import AttncError, Diagnostic
from attnc.ir import nodes as ir
from attnc.ir.text import print_ir
from attnc.source import Source
from attnc.syntax.parser import parse_file


class InMemory:
    """Modules that are texts."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    def load(self, name: str) -> Module | None:
        if name not in self.texts:
            return None
        source = Source(f"{name}.attn", self.texts[name])
        return Module(source, parse_file(source))

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.texts))


def attentions(text: str, **modules: str) -> tuple[ir.Attention, ...]:
    """The attentions of a text that has no mistakes; all of them verified."""
    checked = find_mistakes(parse_file(Source("spec.attn", text)), InMemory(modules))
    if not checked.is_fine:
        raise AttncError(*checked.diagnostics)
    for attention in checked.attentions:
        verify(attention)
    return checked.attentions


def attention(text: str, **modules: str) -> ir.Attention:
    (found,) = attentions(text, **modules)
    return found


def mistakes(text: str, **modules: str) -> tuple[Diagnostic, ...]:
    try:
        return find_mistakes(parse_file(Source("spec.attn", text)), InMemory(modules)).diagnostics
    except AttncError as error:
        return error.diagnostics


def codes(text: str, **modules: str) -> list[str]:
    return [d.code for d in mistakes(text, **modules)]


# Parameters of every sort, for clauses that need some.
PARAMS = """
    n: int, x: float, p: bool,
    ints: int[B, N, 8], reals: float[H, N, M], bools: bool[B, N], rows: float[B, H, N, D], cols: float[B, M, DV],
"""


def with_clause(word: str, text: str) -> str:
    return f"attention spec({PARAMS}):\n    {word} {text}\n"


def clause(word: str, text: str, before: str = "") -> str:
    """The IR of a clause, as text."""
    return print_ir(getattr(attention(before + with_clause(word, text)), word))


def clause_codes(word: str, text: str) -> list[str]:
    """The errors of a clause; warnings about parameters that this one does not use are left out."""
    return [d.code for d in mistakes(with_clause(word, text)) if d.severity == "error"]
