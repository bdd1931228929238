"""Rewriting by named laws.

Enters: a term (or an attention) and laws. Leaves: the term in which none of them applies any more, each part rewritten
before the whole, and on request the steps that led there.

A law is a function of one node that answers another node, or None where it does not apply; what it answers differs
from what it got and is smaller in some measure that all its companions respect, or there would be no end. Its text is
its name: `tests/laws` checks every law by that text and by what both sides mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from attnc.errors import CompilerBug
from attnc.ir.nodes import Node
from attnc.ir.walk import map_children

Rule = Callable[[Node], Node | None]


@dataclass(frozen=True, slots=True)
class Law:
    """`left = right`, and the function that goes from left to right."""

    text: str
    apply: Rule


@dataclass(frozen=True, slots=True)
class Step:
    """A law that fired: the term before and after."""

    law: Law
    before: Node
    after: Node


def law(text: str, laws: list[Law]) -> Callable[[Rule], Rule]:
    """Add the decorated function to `laws` under its text."""

    def register(rule: Rule) -> Rule:
        laws.append(Law(text, rule))
        return rule

    return register


def rewrite(term: Node, laws: Iterable[Law], trace: list[Step] | None = None) -> Node:
    """The term with the laws applied until none does. `trace` collects the steps in the order they were taken."""
    laws = tuple(laws)
    # By identity, with the term kept alive: what stands in several places is rewritten once.
    known: dict[int, tuple[Node, Node]] = {}

    def visit(before: Node) -> Node:
        if id(before) in known:
            return known[id(before)][1]
        after = map_children(before, visit)
        step = _first_step(after, laws)
        if step is not None:
            if trace is not None:
                trace.append(step)
            after = visit(step.after)
        known[id(before)] = before, after
        known[id(after)] = after, after
        return after

    return visit(term)


def _first_step(term: Node, laws: tuple[Law, ...]) -> Step | None:
    for rule in laws:
        found = rule.apply(term)
        if found is not None:
            if found == term:
                raise CompilerBug(f"the law `{rule.text}` changes nothing in {term!r}")
            return Step(rule, term, replace(found, span=found.span or term.span))
    return None
