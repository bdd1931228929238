"""Structural equality: values that are compared and ordered by all that they are made of.

Enters: nothing. Leaves: `Structural`, whose key is the whole structure as text. It depends neither on the order in
which values were made nor on a table that outlives a compilation, so what is ordered by it is the same in every run.
"""

from __future__ import annotations

from functools import cached_property

from attnc.errors import CompilerBug


class Structural:
    """A value that is its structure: equality, hash and order are those of `key`."""

    @cached_property
    def key(self) -> str:
        raise CompilerBug(f"{type(self).__name__} has no key")

    @cached_property
    def leaves(self) -> frozenset[str]:
        """Keys of the leaves it is made of. Only ever asked for membership."""
        raise CompilerBug(f"{type(self).__name__} has no leaves")

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Structural) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __lt__(self, other: Structural) -> bool:
        return self.key < other.key

    def __repr__(self) -> str:
        return self.key
