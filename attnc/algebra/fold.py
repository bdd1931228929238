"""The fold of a row: what a sweep over its keys keeps, how what two parts of the keys leave merges, and what is left.

A value, made of terms in `Score`. There are three: a softmax, sums, and the first key with the largest number. A sweep
that keeps something else is one class more here; nothing outside asks a fold for its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar, Literal

from attnc.ir.nodes import Real, Score


@dataclass(frozen=True, slots=True)
class Kept:
    """A number of each row, [B, H, N], as a kernel keeps it from tile to tile.

    `identity` is what it begins with, and what a part without a key leaves. Two parts are merged by `merge`: `max` is
    the larger number. `sum` adds them; beside a maximum they are sums of exponentials below it, each of which first
    comes down by as much as the exponential of its own maximum is below the larger. `first` is the least number among
    those parts whose maximum is the largest.
    """

    name: str
    merge: Literal["max", "sum", "first"]
    identity: float
    dtype: Literal["float32", "int32"] = "float32"


@dataclass(frozen=True, slots=True)
class Fold:
    """What a sweep makes of the scores of a row; values, where it weighs them, are one more sum.

    `score` is a term in `Score` that exponentials are taken of, `weight` what a value is multiplied with where that is
    a term of one score, and `sums` what else is summed, or compared, over the visible keys.
    """

    score: Real = Score()  # noqa: RUF009  (a frozen value)
    weight: Real | None = None
    sums: tuple[Real, ...] = ()

    name: ClassVar[str] = ""
    # Are the values of a row divided by a sum of the same sweep, so that they leave the kernel as they are wanted?
    divides: ClassVar[bool] = False

    @property
    def kept(self) -> tuple[Kept, ...]:
        """What goes from tile to tile."""
        raise NotImplementedError

    @property
    def left(self) -> tuple[tuple[str, str], ...]:
        """Name and dtype of what a sweep leaves of each row."""
        return tuple((each.name, each.dtype) for each in self.kept)

    @property
    def remembered(self) -> tuple[tuple[str, str], ...]:
        """The same of what has no gradient: it is left for the backward pass, and later passes read it too."""
        return ()

    @property
    def terms(self) -> tuple[Real, ...]:
        """The terms of each pair that are weighed, summed or compared."""
        return (*((self.weight,) if self.weight is not None else ()), *self.sums)

    @property
    def has_lse(self) -> bool:
        """Does it leave the log-sum-exp of the scores themselves?"""
        return False


class Softmax(Fold):
    """The online softmax (Milakov & Gimelshein 2018): a maximum, and the sum of exponentials below it."""

    __slots__ = ()
    name = "softmax"
    divides = True

    @property
    def kept(self) -> tuple[Kept, ...]:
        return Kept("row_max", "max", -inf), Kept("row_sum", "sum", 0.0)

    @property
    def left(self) -> tuple[tuple[str, str], ...]:
        return (("lse", "float32"),)

    @property
    def remembered(self) -> tuple[tuple[str, str], ...]:
        """The largest score, in its base, and the weight of a key that has it; of a row without a key 0 and 0.

        So the weight of every score can be had again. From the log-sum-exp it cannot: next to a large score a float32
        has no digits for the logarithm of a sum.
        """
        return ("row_max", "float32"), ("row_weight", "float32")

    @property
    def has_lse(self) -> bool:
        return self.score == Score()


class Sums(Fold):
    """Sums of terms of one score each, which need no maximum."""

    __slots__ = ()
    name = "sums"

    @property
    def kept(self) -> tuple[Kept, ...]:
        return tuple(Kept(f"sum_{n}", "sum", 0.0) for n in range(1, len(self.sums) + 1))


class Largest(Fold):
    """The first key with the largest number of its row, `sums[0]`: where it is, and -1 where no key is seen."""

    __slots__ = ()
    name = "largest"

    @property
    def kept(self) -> tuple[Kept, ...]:
        return Kept("largest", "max", -inf), Kept("at", "first", -1, "int32")

    @property
    def left(self) -> tuple[tuple[str, str], ...]:
        return (("at", "int32"),)
