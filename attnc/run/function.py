"""What `attnc.load` and `attnc.compile` give: an attention that can be called, and asked about itself.

Enters: a compilation. Leaves: an `AttentionFunction`. Nothing is compiled before it is needed: `reference` needs the
checked attention alone, `tiles` its facts, and only a call needs the emitted module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature, signature
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol

from attnc.errors import AttncError, Diagnostic, Label
from attnc.options import Options

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from attnc.analyze.facts import Facts, Reason
    from attnc.ir.nodes import Attention, Int
    from attnc.run.memory import Declared
    from attnc.run.tiles import Tiles
    from attnc.source import Source

    State = Mapping[str, Tensor]
    Result = Tensor | tuple[Tensor, Tensor] | tuple[Tensor, State]


OF_STATES = ("initial_state", "return_state")


class Drawing(Protocol):
    """The part of a plot that a function needs."""

    def figure(self, path: str | PathLike[str] | None) -> Figure: ...


class Compiled(Protocol):
    """The part of a compilation that a function needs."""

    @property
    def source(self) -> Source: ...
    @property
    def options(self) -> Options: ...
    @property
    def attention(self) -> Attention: ...
    @property
    def facts(self) -> Facts: ...
    @property
    def counts(self) -> tuple[Int, ...]: ...
    @property
    def declared(self) -> Declared: ...
    @property
    def text(self) -> str: ...
    @property
    def why_no_state(self) -> Reason | None: ...
    @property
    def on_cpu(self) -> Compiled: ...
    def explain(self) -> str: ...
    def plot(
        self, values: Mapping[str, Any], tile: tuple[int, int], heads: Sequence[int], batches: Sequence[int]
    ) -> Drawing: ...


class AttentionFunction:
    """One attention. `f(q, k, v, window=512)` computes it; its other members tell what attnc made of the spec."""

    def __init__(self, compilation: Compiled) -> None:
        declared = compilation.declared
        self._compilation = compilation
        self._emitted: dict[bool, Callable[..., Result]] = {}  # with kernels, and without
        self._cut: dict[bool, bool] = {}  # which of these take states
        self.__name__ = self.__qualname__ = declared.name
        self.__doc__ = declared.doc or f"The attention `{declared.name}` of {compilation.source.name}."
        self.__signature__ = _signature(declared)

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *others: object,
        scale: float | None = None,
        return_lse: bool = False,
        initial_state: State | None = None,
        return_state: bool = False,
        **parameters: Any,
    ) -> Result:
        """`q [B, H, N, D]`, `k [B, HKV, M, D]`, `v [B, HKV, M, DV]` and the parameters of the spec; differentiable.

        Linear attention can be cut: with `return_state` a call also returns what it leaves of its tokens, a dict of
        tensors, and with that as its `initial_state` a later call is as if those tokens stood in front of its own.
        """
        if others:
            raise self._by_position(others)
        backend = self._compilation.options.backend
        is_cut = initial_state is not None or return_state
        if is_cut and backend == "reference":
            raise AttncError(Diagnostic("no-state", "the interpreter has no states: call it with all keys"))
        if backend == "reference":
            return self.reference(q, k, v, scale=scale, return_lse=return_lse, **parameters)
        needs_kernels = self._needs_kernels(q)
        self._load(needs_kernels)
        if is_cut and not self._takes_state(needs_kernels):
            raise self._no_state()
        choice = {"backend": backend} if needs_kernels else {}
        if is_cut:
            parameters |= {"initial_state": initial_state, "return_state": return_state}
        try:
            return self._emitted[needs_kernels](
                q, k, v, scale=scale, return_lse=return_lse, **choice, **parameters
            )
        except (TypeError, ValueError):
            given = {name: x for name, x in parameters.items() if name not in OF_STATES}
            self._explain_refusal(q, k, v, scale, given)
            raise

    def reference(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        scale: float | None = None,
        return_lse: bool = False,
        **parameters: Any,
    ) -> Result:
        """The same by the interpreter: plain torch, quadratic, and the meaning of the spec."""
        from attnc.run.interpreter import interpret

        return interpret(self._compilation.attention, q, k, v, parameters, scale, return_lse)

    def tiles(
        self, *, N: int, M: int, block_q: int, block_k: int, h: int = 0, b: int = 0, **values: Any
    ) -> Tiles:
        """How many tiles a call with these sizes and parameters visits, for one head of one batch entry."""
        from attnc.run.look import find_visited
        from attnc.run.tiles import count_rows

        needed = {"N": N, "M": M, "block_q": block_q, "block_k": block_k, "h": h, "b": b}
        known = _call_values(self._compilation.attention, needed, values)
        block_q, block_k = known["block_q"], known["block_k"]
        rows = find_visited(
            self._compilation.attention, self._compilation.facts.keys, known, block_q, block_k
        )
        return count_rows(rows, -(-known["N"] // block_q) * -(-known["M"] // block_k))

    def plot(
        self,
        *,
        block_q: int = 16,
        block_k: int = 16,
        h: int | Sequence[int] = 0,
        b: int | Sequence[int] = 0,
        path: str | PathLike[str] | None = None,
        **values: Any,
    ) -> Figure:
        """The mask of a small call and its tiles, a panel for each of the heads `h` of the batch entries `b`.

        `values` are sizes (`N=256` unless something else says it) and the parameters that decide the mask. With `path`
        the picture is written too, as .png, .svg or .pdf.
        """
        from attnc.run.scalars import check_count, check_places

        tile = check_count("block_q", block_q, 1), check_count("block_k", block_k, 1)
        plot = self._compilation.plot(values, tile, check_places("h", h), check_places("b", b))
        return plot.figure(path)

    def explain(self) -> str:
        """What was found in the spec, what was not, and why."""
        return self._compilation.explain()

    @property
    def facts(self) -> Facts:
        """What `explain` says, for programs."""
        return self._compilation.facts

    @property
    def source(self) -> str:
        """The text of the emitted module."""
        return self._compilation.text

    def _no_state(self) -> AttncError:
        """Why tokens cannot stand in front of those of a call."""
        reason = self._compilation.why_no_state
        assert reason is not None
        label = Label(reason.span) if reason.span else None
        what = f"`{self.__name__}` takes no state: {reason.text}"
        return AttncError(Diagnostic("no-state", what, label, helps=("call it with all keys at once",)))

    def _by_position(self, others: tuple[object, ...]) -> AttncError:
        """What is wrong with a call that has more than q, k and v before the names."""
        names = [name for name, _ in self._compilation.declared.parameters]
        shown = (f"{name}={value!r}" for name, value in zip(names, others, strict=False) if _is_short(value))
        given = ", ".join(shown)
        helps = (f"write `{self.__name__}(q, k, v, {given})`",) if given else ()
        values = f"{len(others)} values" if others[1:] else "a value"
        takes = f"`{self.__name__}` takes `q`, `k` and `v` by position"
        what = f"{takes}, and got {values} more: parameters have names"
        return AttncError(Diagnostic("wrong-type", what, helps=helps))

    def _explain_refusal(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float | None, parameters: dict[str, Any]
    ) -> None:
        """Say why the emitted module refused a call, with notes and helps; a good call pays nothing for it."""
        import torch

        from attnc.run.arguments import as_autocast, check_arguments
        from attnc.run.limits import check_limits
        from attnc.run.sizes import sizes_of
        from attnc.support.call import _check_device

        if torch.compiler.is_compiling():  # the words of the module do
            return
        compiled, options = self._compilation, self._compilation.options
        q, k, v = as_autocast(q), as_autocast(k), as_autocast(v)
        try:
            values = check_arguments(
                compiled.attention, q, k, v, parameters, scale, check_sorted=options.check_sorted
            )
            numbers = {name: value for name, value in values.items() if isinstance(value, int)}
            if not options.kernels:
                _check_device(q)
            check_limits(compiled.facts, options.backend, q, sizes_of(q, k, v) | numbers, compiled.counts)
        except AttncError as mistake:
            raise mistake from None
        except RuntimeError:  # torch.func.vmap shows no data: the words of the module do
            return

    def _needs_kernels(self, q: Tensor) -> bool:
        """On the CPU a module without kernels does, and Triton is not imported."""
        options = self._compilation.options
        if not options.kernels or options.backend == "triton":
            return options.kernels
        # What is no tensor may have a device that is a text.
        return options.backend == "auto" and getattr(getattr(q, "device", None), "type", "cpu") != "cpu"

    def _load(self, needs_kernels: bool) -> bool:
        from attnc.run.loader import load_module

        if needs_kernels not in self._emitted:
            compilation = self._compilation if needs_kernels else self._compilation.on_cpu
            module = load_module(self.__name__, compilation.text)
            function = self._emitted[needs_kernels] = getattr(module, self.__name__)
            self._cut[needs_kernels] = "initial_state" in signature(function).parameters
        return True

    def _takes_state(self, needs_kernels: bool) -> bool:
        return self._cut[needs_kernels]

    # What `torch.compiler.assume_constant_result` sets, without importing torch for it: torch.compile runs this when it
    # traces a call and does not look inside. What it returns must be a constant, so it is not the function itself.
    _load._dynamo_marked_constant = True  # type: ignore[attr-defined]
    _takes_state._dynamo_marked_constant = True  # type: ignore[attr-defined]

    def __reduce__(self) -> tuple[type[AttentionFunction], tuple[Compiled]]:
        return AttentionFunction, (self._compilation,)

    def __repr__(self) -> str:
        return f"<attention {self.__name__}{self.__signature__} of {self._compilation.source.name}>"


def _is_short(value: object) -> bool:
    return isinstance(value, int | float)


def _call_values(attention: Attention, needed: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What the ends of ranges may speak of: sizes, indices, and every parameter that is given or has a default."""
    from attnc.run.scalars import check_count, check_scalar
    from attnc.run.settings import check_names

    counts = {n: check_count(n, value, 1 if n.startswith("block") else 0) for n, value in needed.items()}
    check_names(attention, given)
    defaults = {p.name: p.default for p in attention.params if p.default is not None}
    scalars = {p.name: p for p in attention.params if not p.sizes}
    numbers = {n: check_scalar(scalars[n], value) for n, value in given.items() if n in scalars}
    return defaults | given | numbers | counts


def _signature(declared: Declared) -> Signature:
    tensors = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in ("q", "k", "v")]
    own = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=Parameter.empty if default is None else default)
        for name, default in declared.parameters
    ]
    call = [
        Parameter("scale", Parameter.KEYWORD_ONLY, default=None),
        Parameter("return_lse", Parameter.KEYWORD_ONLY, default=False),
        Parameter("initial_state", Parameter.KEYWORD_ONLY, default=None),
        Parameter("return_state", Parameter.KEYWORD_ONLY, default=False),
    ]
    return Signature([*tensors, *own, *call])
