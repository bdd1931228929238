"""What registers the operators of a module with torch: its library, operators, their derivatives and their cost.

Copied whole into every module.
"""

import inspect
import sys

import torch
from torch import Tensor

from attnc.support.of_module import _pairs_seen


def _library():
    """The operators of this module, under its name; a copy of it has a `_` behind."""
    name = "".join(c if c.isalnum() else "_" for c in __name__)
    while hasattr(getattr(torch.ops, name), "attention"):
        name += "_"
    return torch.library.Library(name, "FRAGMENT")


_LIBRARY = _library()


def _operator(function):
    """The function as an operator of torch, which does not look inside; nor does a default device.

    `torch.library.custom_op` does so too, but its first call loads all of torch.compile.
    """

    def inside(*args):
        with torch._C.DisableTorchFunction():
            return function(*args)

    name = function.__name__.lstrip("_")
    schema = torch.library.infer_schema(function, mutates_args=())
    _LIBRARY.define(name + schema, tags=torch.Tag.pt2_compliant_tag)
    _LIBRARY.impl(name, inside, "CompositeExplicitAutograd")
    return getattr(getattr(torch.ops, _LIBRARY.ns), name).default


def _derive(operator, differentiate, save, entries):
    """Register the gradient of an operator, with autograd and with torch.func.

    `torch.library.register_autograd` is for autograd alone, and takes tangents for zero.
    """

    class OfAutograd(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *args):
            with torch._C._AutoDispatchBelowAutograd():
                output = operator(*args)
            save(ctx, args, output)
            return output

        backward = staticmethod(differentiate)
        jvp = staticmethod(_refuse_forward_mode)

    class OfFunc(OfAutograd):
        forward = staticmethod(operator)
        setup_context = staticmethod(save)

        @staticmethod
        def vmap(info, dims, *args):
            return _call_samples(operator, entries, info.batch_size, dims, args)

    name = operator._schema.name
    _LIBRARY.impl(name, OfAutograd.apply, "Autograd")
    _LIBRARY.impl(name, OfFunc.apply, "FuncTorchDynamicLayerFrontMode")


def _call_samples(operator, entries, size, dims, args):
    """What `vmap` asks for: the results for each of `size` samples, and where they have that axis.

    `entries` are the tensors of one item for each batch entry: samples are more of these. Where any
    other tensor has samples, there is one call after the other.
    """
    names = [argument.name for argument in operator._schema.arguments]
    dims = [dim if isinstance(arg, Tensor) else None for dim, arg in zip(dims, args)]
    if all(dim is None or name in entries for name, dim in zip(names, dims)):
        folded, B = list(args), 0
        for n, (name, dim, arg) in enumerate(zip(names, dims, args)):
            if name in entries:
                samples = arg.expand(size, *arg.shape) if dim is None else arg.movedim(dim, 0)
                folded[n], B = samples.flatten(0, 1), samples.shape[1]
        results = operator(*folded)
        if isinstance(results, Tensor):
            return results.unflatten(0, (size, B)), 0
        return tuple(result.unflatten(0, (size, B)) for result in results), (0,) * len(results)
    moved = [arg if dim is None else arg.movedim(dim, 0) for dim, arg in zip(dims, args)]
    if size == 0:  # one call has the shapes
        moved = [x if dim is None else x.new_zeros(1, *x.shape[1:]) for dim, x in zip(dims, moved)]
    calls = []
    for n in range(max(size, 1)):
        calls.append(operator(*(x if dim is None else x[n] for dim, x in zip(dims, moved))))
    if isinstance(calls[0], Tensor):
        return torch.stack(calls)[:size], 0
    return tuple(torch.stack(each)[:size] for each in zip(*calls)), (0,) * len(calls[0])


_FLOPS = {}  # what operators cost, for counters of operations


def _count_flops(operator, times):
    """The products of an operator: for each pair in a visited tile so `times` the width of tensors.

    They are those of torch's own attention, whose backward pass has the scores again once. Where
    there are no data to look at, as in fake tensors, a mask hides nothing.
    """
    names = [argument.name for argument in operator._schema.arguments]

    def flops(*args, out_val=None, **others):
        given = dict(zip(names, args)) | others
        q, k = (given[n] for n in (("q", "k") if "q" in given else ("query", "key")))
        takes = inspect.signature(_pairs_seen).parameters.keys()
        if q.is_meta or type(q).__name__ == "FakeTensor" or not takes <= given.keys():
            pairs = q.shape[:3].numel() * k.shape[2]
        else:
            if given.get("changing") is not None:
                given["floats"] = given["changing"].tolist()
            for name in takes:
                given[name] = _on_cpu(given[name], name in ("q", "k", "v", "query"))
            pairs = _pairs_seen(**{name: given[name] for name in takes})
        return 2 * pairs * sum(count * given[name].shape[-1] for name, count in times.items())

    _FLOPS[operator._overloadpacket] = flops
    _tell_counters()


def _on_cpu(x, is_shape):
    """An argument on the CPU; of q, k and v there is nothing but the shape."""
    if not isinstance(x, Tensor):
        return x
    return x.new_empty((), device="cpu").expand(x.shape) if is_shape else x.cpu()


def _tell_counters():
    """Register with torch's counter of operations, if it is loaded: loading it loads Triton."""
    if torch.compiler.is_compiling() or "torch.utils.flop_counter" not in sys.modules:
        return
    counter = sys.modules["torch.utils.flop_counter"]
    for packet, flops in _FLOPS.items():
        if packet not in counter.flop_registry:
            counter.register_flop_formula(packet, get_raw=True)(flops)
    for mode in torch.utils._python_dispatch._get_current_dispatch_mode_stack():
        if isinstance(getattr(mode, "counter", None), counter.FlopCounterMode):
            mode.counter.flop_registry.update(_FLOPS)


def _keep_nothing(ctx, inputs, output):
    """For a gradient that is refused."""


def _refuse(ctx, *gradients):
    """The gradient of what has none that is known: zero would be wrong."""
    raise RuntimeError(f"a second derivative of `{_LIBRARY.ns}` was asked for, and there is none")


def _refuse_forward_mode(*tangents):
    """The same for `torch.func.jvp`, `jacfwd`, `linearize` and dual numbers."""
    raise NotImplementedError(
        f"a forward-mode derivative of `{_LIBRARY.ns}` was asked for, and there is none; "
        "`torch.func.vjp`, `torch.func.jacrev` and `backward` have the gradient"
    )
