"""What registers the operators of a module with torch, the same in every module.

Enters: nothing. Leaves: the text of the library, of `_operator`, which makes an operator of a function, and of
`_derive`, which says what autograd and torch.func ask of it.
"""

LIBRARY = '''
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
    calls = []
    for n in range(size):
        sample = (arg if dim is None else arg.select(dim, n) for dim, arg in zip(dims, args))
        calls.append(operator(*sample))
    if isinstance(calls[0], Tensor):
        return torch.stack(calls), 0
    return tuple(map(torch.stack, zip(*calls))), (0,) * len(calls[0])


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
'''.strip()

FLOATS = '''
def _floats(*numbers):
    """Floats as an operator takes them: a list, or a tensor where torch.compile has them change.

    It makes a graph for each value of a float that an operator takes, and gives up after eight.
    """
    if torch.compiler.is_compiling():
        from torch.fx.experimental.symbolic_shapes import has_static_value

        if not all(map(has_static_value, numbers)):
            one = torch.ones((), dtype=torch.float64, device="cpu")
            return [], torch.stack([one * number for number in numbers])
    return list(numbers), None
'''.strip()
