"""The names of a spec that its functions have for themselves.

Enters: functions, and the sweeps that they were made of. Leaves: the names that have to be set apart, as an exception,
so that nothing more is written with them: of two variables of one name, one would be the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from attnc.kernel.arguments import arguments_of, tensors_of
from attnc.kernel.expressions import bound_by
from attnc.kernel.nodes import Assign, For, Function, If, Stmt, Try, With
from attnc.lower.names import SIZES
from attnc.lower.sweep import Sweep


class NamesTaken(Exception):
    """Names of a spec that functions have for themselves."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names


def stop_if_taken(functions: Iterable[Function], *sweeps: Sweep) -> None:
    """Raise `NamesTaken` if there are such names."""
    if names := taken_names(functions, sweeps):
        raise NamesTaken(names)


def taken_names(functions: Iterable[Function], sweeps: Sequence[Sweep]) -> tuple[str, ...]:
    """The names of a spec, and of its terms in these functions, which they have for themselves too.

    A launcher has the names of the tensors that it gives. Arrays that hold terms of single tokens are parameters like
    those of the spec.
    """
    spec = sweeps[-1].spec
    theirs = {spec.variable(param.name): param.name for param in spec.params}
    made = {param.name for sweep in sweeps for param in sweep.params} - set(theirs)
    own, terms = set[str](), set[str]()
    for function in functions:
        bound, of_spec = bound_names(function.body)
        given = [param.name for param in function.params if not param.handed] + tensors_of(function)
        own.update([name for name in given if name not in theirs or given.count(name) > 1])
        own.update(bound, _called_alike(function, bound | of_spec))
        terms |= of_spec
    own -= {*made, *SIZES, "scale"}
    return tuple(theirs.get(name, name) for name in sorted(own & {*theirs, *terms}))


def _called_alike(function: Function, bound: Set[str]) -> list[str]:
    """Tensors whose pointers or strides have the name of a variable: of `bias_ptr` a gradient is `d_bias_ptr`."""
    names = [param.name for param in function.params]
    return [
        each.of
        for each in arguments_of(function)
        if each.kind in ("tensor", "stride") and (each.name in bound or names.count(each.name) > 1)
    ]


def bound_names(stmts: Iterable[Stmt]) -> tuple[set[str], set[str]]:
    """The names that statements bind, and apart from them those that stand for terms of the spec."""
    bound, of_spec, todo = set[str](), set[str](), [*stmts]
    while todo:
        match stmt := todo.pop():
            case Assign():
                (of_spec if stmt.of_spec else bound).update(stmt.binds)
            case For(var, _, body):
                bound.update(bound_by(var))
                todo += body
            case If(_, then, other):
                todo += (*then, *other)
            case With(_, body):
                todo += body
            case Try(body, _, name, then):
                bound.add(name)
                todo += (*body, *then)
    return bound, of_spec
