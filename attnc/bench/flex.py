"""The functions that FlexAttention takes, as someone would write them by hand.

Enters: an attention. Leaves: the text of a module with one function `bind`, which takes sizes and arguments of a call
and gives back `mask_mod`, `score_mod`, `gate` (each may be None) and a scale; or the reason why there is no such text.

FlexAttention multiplies by its own `scale` where the score has the product of q and k in no other way; the gate is what
the result of each row is multiplied with afterwards, from its log-sum-exp. An index that may leave its array at a
hidden pair is clamped, as everywhere.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

from attnc.analyze.facts import Weights
from attnc.bench.bias import why_not_softmax
from attnc.emit.writer import Writer
from attnc.ir.nodes import (
    Attention,
    Bool,
    Count,
    Dot,
    Index,
    Int,
    IntConst,
    LogSumExp,
    Member,
    Node,
    Real,
    RealCall,
    RealConst,
    RealOp,
    Row,
    RowSum,
    Scale,
    Size,
    SumD,
    Truth,
    VecLoad,
)
from attnc.ir.text import print_ir
from attnc.ir.walk import holds, replace_terms, walk
from attnc.kernel.expressions import Expr, Lit, Ternary, Var
from attnc.kernel.nodes import Return
from attnc.lower.names import SIZES, reserved_names
from attnc.lower.plain import PRODUCT
from attnc.lower.torch_terms import TorchTerms, is_number, math, torch

ONE, SCALED = RealConst(1.0), RealOp("*", PRODUCT, Scale())
# Functions of a number, which Python has itself.
OF_NUMBERS = ("exp", "log", "sqrt", "tanh", "sin", "cos")
MOST_SLOTS = 16


class FlexTerms(TorchTerms):
    """Terms of one pair: `b`, `h`, `i` and `j` are tensors without axes, and so is what they read."""

    dtype = torch.value("float32")
    is_square = False

    def is_whole_axis(self, index: Int, size: Int) -> bool:
        """Also with as many keys as queries, where this call has them."""
        match index, size:
            case (Index("i"), Size("M")) | (Index("j"), Size("N")) if self.is_square:
                return True
        return super().is_whole_axis(index, size)

    def _divisor(self, b: Int) -> Expr:
        divisor = super()._divisor(b)
        is_safe = is_number(b) or divisor == self(b)
        return self(b) if is_safe else torch.where(self(b).equals(0), 1, self(b))

    def _may_be_0(self, b: Real) -> bool:
        """Numbers of a call that is timed were checked, and are divided by Python."""
        return False

    def where(self, cond: Bool, a: Node, b: Node) -> Expr:
        if is_number(cond):
            return Ternary(self(a), self(cond), self(b))
        return torch.where(self(cond), self(a), self(b))

    def function(self, fn: str, a: Real) -> Expr:
        return math.function(fn)(self(a)) if is_number(a) else super().function(fn, a)

    def load(self, array: str, index: tuple[Int, ...]) -> Expr:
        sizes = self.attention.param(array).sizes
        return Var(self.attention.variable(array))[
            tuple(self.clamped(item, size) for item, size in zip(index, sizes, strict=True))
        ]

    def member(self, item: Int, array: str, index: tuple[Int, ...]) -> Expr:
        *sizes, slots = self.attention.param(array).sizes
        row = [self.clamped(part, size) for part, size in zip(index, sizes, strict=True)]
        wanted = self(item)
        count = slots.value if isinstance(slots, IntConst) else 0
        entries = [Var(self.attention.variable(array))[(*row, Lit(slot))] for slot in range(count)]
        return reduce(Expr.__or__, (entry.equals(wanted) for entry in entries)) & (wanted >= 0)


# What is written here has these names for itself.
OWN = ("bind", "gate", "lse", "mask_mod", "score_mod")


def write_functions(attention: Attention, weights: Weights, is_square: bool) -> str:
    """The text of the module. There is one where `why_not_flex` has nothing to say.

    `is_square` says that the call has as many keys as queries.
    """
    attention = replace(attention, apart=(*reserved_names(attention), *OWN))
    score, gate = attention.score, weights.gate
    is_scaled = not holds(replace_terms(score, lambda term: ONE if term == SCALED else None), Dot)
    product = SCALED if is_scaled else PRODUCT
    terms = FlexTerms(attention, {product: Var("score"), LogSumExp(): Var("lse")})
    terms.is_square = is_square
    made: dict[str, str] = {}
    writer = Writer()
    writer.line(f"# `{attention.name}` as FlexAttention takes it.")
    writer.lines("\nimport math\n\nimport torch\n\n")
    names = [*SIZES, "scale", *(attention.variable(param.name) for param in attention.params)]
    writer.items("def bind(", names, "):")
    with writer.indent():
        for name, arguments, term in (
            ("mask_mod", "b, h, i, j", None if attention.mask == Truth(True) else attention.mask),
            ("score_mod", "score, b, h, i, j", None if score == product else score),
            ("gate", "lse, b, h, i", gate),
        ):
            if term is None:
                made[name] = "None"
                continue
            made[name] = name
            with writer.block(f"def {name}({arguments}):"):
                writer.statement(Return(terms(term)))
            writer.line()
        scale = "scale" if is_scaled else "1.0"
        writer.line(f"return {made['mask_mod']}, {made['score_mod']}, {made['gate']}, {scale}")
    return writer.text


def why_not_flex(attention: Attention, weights: Weights) -> str:
    """What stands in the way; "" if nothing does."""
    if why := why_not_softmax(attention, weights):
        return why
    if is_number(attention.mask) and attention.mask != Truth(True):
        return "its mask speaks of no position"
    clauses: list[Node] = [attention.mask, attention.score]
    clauses += [weights.gate] if weights.gate else []
    for part in (part for clause in clauses for part in walk(clause) if part != PRODUCT):
        match part:
            case Dot():
                return "its score has another product than `dot(q, k)`"
            case Member(_, array, _) if not _has_few_slots(attention, array):
                return f"how many entries a row of `{array}` has is not written in the spec"
            case RealCall(fn, a) if is_number(a) and fn not in OF_NUMBERS:
                return f"it takes `{fn}` of a number"
            case Row() | Count() | RowSum() | SumD() | VecLoad():
                return f"FlexAttention has nothing for `{print_ir(part)}`"
            case _:
                pass
    return ""


def _has_few_slots(attention: Attention, array: str) -> bool:
    match attention.param(array).sizes[-1]:
        case IntConst(slots):
            return 0 < slots <= MOST_SLOTS
    return False
