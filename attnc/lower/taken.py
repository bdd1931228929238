"""The names of a spec that its functions have for themselves.

Enters: functions, and the sweeps that they were made of. Leaves: the names that have to be set apart, as an exception,
so that nothing more is written with them: of two variables of one name, one would be the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attnc.kernel.arguments import arguments_of
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
        given = [param.name for param in function.params if not param.handed]
        given += [each.of for each in arguments_of(function) if each.kind == "tensor"]
        own.update(name for name in given if name not in theirs or given.count(name) > 1)
        for name, of_spec in bound_names(function.body):
            (terms if of_spec else own).add(name)
        own.update(_called_alike(function))
    own -= {*made, *SIZES, "scale"}
    return tuple(theirs.get(name, name) for name in sorted(own & {*theirs, *terms}))


def _called_alike(function: Function) -> Iterator[str]:
    """Tensors whose pointers or strides have the name of a variable: of `bias_ptr` a gradient is `d_bias_ptr`."""
    names = [param.name for param in function.params]
    bound = {name for name, _ in bound_names(function.body)}
    for each in arguments_of(function):
        if each.kind in ("tensor", "stride") and (each.name in bound or names.count(each.name) > 1):
            yield each.of


def bound_names(stmts: Iterable[Stmt]) -> Iterator[tuple[str, bool]]:
    """The names that statements bind, and whether they stand for terms of the spec."""
    for stmt in stmts:
        match stmt:
            case Assign():
                yield from ((name, stmt.of_spec) for name in stmt.binds)
            case For(var, _, body):
                yield from ((name, False) for name in bound_by(var))
                yield from bound_names(body)
            case If(_, then, other):
                yield from bound_names((*then, *other))
            case With(_, body):
                yield from bound_names(body)
            case Try(body, _, name, then):
                yield name, False
                yield from bound_names((*body, *then))
