"""The operators that torch sees: forward, shapes without data, and the gradient.

Enters: the kernels of a sweep. Leaves: two operators with fake implementations and autograd, the form that works in
eager mode, under `torch.compile`, in `opcheck` and in `torch.export`. What they take and leave is what the signature of
the sweep says, and how it is computed is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attnc.kernel.build import Block, dictionary, function, unpacked
from attnc.kernel.expressions import Expr, Lit, Op, Ternary, Tuple, Var
from attnc.kernel.module import Part
from attnc.kernel.nodes import Assign, Do, Function, Param
from attnc.lower.schedule import SweepKernels
from attnc.lower.sweep import Sweep, said_results
from attnc.lower.torch_terms import torch

GIVEN, CTX, CHANGING = Var("inputs"), Var("ctx"), Var("changing")


def lower_operators(kernels: SweepKernels, ordered: Sequence[str] = ()) -> Iterator[Part]:
    """Forward and backward as operators of torch. The arrays that are `ordered` are checked to be sorted."""
    return _Operators(kernels).parts(ordered)


def operator_of(sweep: Sweep) -> str:
    """The name of a sweep as an operator."""
    return "_attention" if sweep.weighs_values else sweep.named("_rows")


class _Operators:
    """The operators of a sweep."""

    def __init__(self, kernels: SweepKernels) -> None:
        self.sweep, self.signature = kernels.sweep, kernels.signature
        self.name = operator_of(self.sweep)

    def parts(self, ordered: Sequence[str]) -> Iterator[Part]:
        signature, entries = self.signature, self.signature.entries
        yield self._forward(ordered)
        yield self._fake_forward()
        yield _count_flops(self.name, signature.forward_cost)
        if not self.sweep.has_gradient:
            yield _derive(self.name, "_refuse", "_keep_nothing", entries)
            return
        backward = f"{self.name}_backward"
        yield self._backward(backward)
        yield self._fake_backward(backward)
        # The gradient of an array without batch entries is a sum over them, and each sample has its own.
        is_each = entries and set(signature.differentiated) <= set(entries)
        of_backward = (*signature.gradients, *entries, *signature.saved) if is_each else ()
        yield _derive(backward, "_refuse", "_keep_nothing", of_backward)
        yield _count_flops(backward, signature.backward_cost)
        save, turn = self._save(), self._differentiate(backward)
        yield save
        yield turn
        yield _derive(self.name, turn.name, save.name, entries)

    def _forward(self, ordered: Sequence[str]) -> Function:
        block = Block()
        for array in ordered:
            block.do(function("_check_sorted")(array, Var(self.signature.ordered[array])))
        self._compute(block, "forward", self.signature.forward)
        said = (
            "Output and log-sum-exp" if self.sweep.fold.divides else "Weighted values, and sums of each row"
        )
        if not self.sweep.weighs_values:
            said = f"Pass {self.sweep.number}, which weighs no values: {said_results(self.sweep)}"
        count = len(self.signature.outputs)
        return self._operator(self.name, self.signature.tensors, (), block, count, f"{said}.")

    def _backward(self, name: str) -> Function:
        signature, block = self.signature, Block()
        self._compute(block, "backward", signature.backward)
        tensors = (*signature.gradients, *signature.tensors, *signature.saved)
        doc = "The gradient of every float tensor, in order."
        count = len(signature.differentiated)
        return self._operator(name, tensors, tuple(signature.needs), block, count, doc)

    def _operator(
        self,
        name: str,
        tensors: Sequence[str],
        needs: Sequence[str],
        block: Block,
        count: int,
        doc: str,
    ) -> Function:
        typed = [Param(each, "Tensor") for each in tensors] + [Param(each, "bool") for each in needs]
        typed += [Param(each, sort) for each, sort in self.signature.others.items()]
        returns = f"tuple[{', '.join(['Tensor'] * count)}]" if count > 1 else "Tensor"
        return Function(name, tuple(typed), doc, tuple(block.stmts), "_operator", returns)

    def _compute(self, block: Block, what: str, given: Sequence[str]) -> None:
        """Call what computes it on the path of the call."""
        if self.signature.floats:
            is_list = Op("is", CHANGING, Lit(None))
            floats = Ternary(Var("floats"), is_list, CHANGING.call("tolist"))
            block.stmts.append(Assign(Tuple(tuple(map(Var, self.signature.floats))), floats))
        on_gpu, on_cpu = (Var(self.sweep.named(f"_{what}_{path}")) for path in ("triton", "cpu"))
        chosen: Expr = on_cpu
        if self.signature.has_kernels:
            chosen = block.let(what, Ternary(on_gpu, Var("backend").equals("triton"), on_cpu))
        block.returns(function(chosen)(*map(Var, given)))

    def _fake_forward(self) -> Function:
        block = Block()
        first = Var(self.signature.vectors[0])
        block.let("wide", torch.promote_types(first.attr("dtype"), torch.value("float32")))
        results = [*self.signature.outputs.values()]
        if self.sweep.weighs_values:
            results[0] = block.let("out", results[0])
        block.returns(*results)
        return _fake(self.name, self.signature.of_operators["forward"], block)

    def _fake_backward(self, name: str) -> Function:
        signature, block = self.signature, Block()
        tensors = map(Var, signature.differentiated)
        block.returns(*(tensor.call("new_empty", tensor.attr("shape")) for tensor in tensors))
        return _fake(name, signature.of_operators["backward"], block)

    def _save(self) -> Function:
        """What keeps all that the backward pass reads."""
        signature, block, count = self.signature, Block(), len(self.signature.tensors)
        saved = [*map(Var, signature.saved)]
        if saved or signature.remembered:
            read = {*signature.saved, *signature.remembered}
            block.lets([name if name in read else "_" for name in signature.outputs], Var("output"))
        block.do(CTX.call("save_for_backward", unpacked(GIVEN[:count]), *saved))
        if signature.remembered:
            block.do(CTX.call("mark_non_differentiable", *map(Var, signature.remembered)))
        block.assign(CTX.attr("arguments"), GIVEN[count:])
        also = ", the output and numbers of rows" if self.sweep.weighs_values else " and numbers of rows"
        doc = f"Keep what the backward pass reads: all inputs{also if saved else ''}."
        params = tuple(map(Param, ("ctx", "inputs", "output")))
        return Function(self.sweep.named("_save"), params, doc, tuple(block.stmts))

    def _differentiate(self, backward: str) -> Function:
        """What autograd calls for the gradients of the inputs."""
        signature, block = self.signature, Block()
        asked = CTX.attr("needs_input_grad")
        flags = [asked[signature.tensors.index(array)] for array in signature.needs.values()]
        kept, others = unpacked(CTX.attr("saved_tensors")), unpacked(CTX.attr("arguments"))
        names = {n: f"d{n}" if n in ("q", "k", "v") else f"d_{n}" for n in signature.differentiated}
        call = function(backward)(*map(Var, signature.gradients), kept, *flags, others)
        block.lets(list(names.values()), call)
        given = [Var(names[n]) if n in names else Lit(None) for n in signature.tensors]
        block.returns(*given, *[None] * len(signature.others))
        doc = f"The gradient of every input of `{self.name}`."
        others_have_none = ["*_"] if signature.remembered else []
        params = tuple(map(Param, ("ctx", *signature.gradients, *others_have_none)))
        return Function(self.sweep.named("_differentiate"), params, doc, tuple(block.stmts))


def _fake(name: str, given: Iterable[str], block: Block) -> Function:
    decorator = f"torch.library.register_fake({name}, lib=_LIBRARY)"
    return Function("_", tuple(map(Param, given)), "", tuple(block.stmts), decorator)


def _count_flops(name: str, cost: Mapping[str, int]) -> Do:
    return Do(function("_count_flops")(Var(name), dictionary(**cost)))


def _derive(name: str, differentiate: str, save: str, entries: Iterable[str]) -> Do:
    names = Tuple(tuple(map(Lit, entries)))
    return Do(function("_derive")(Var(name), Var(differentiate), Var(save), names))
