"""From text to a function, stage by stage. This is the only file that knows the order.

    stage      input      output                               by
    tree       Source     tree.File                            syntax.parser
    checked    File       ir.Attentions, or its mistakes       check
    attention  Checked    the one that `options.name` chose
    facts      Attention  Facts: ranges, rows, and their why   analyze
    plan       Facts      Plan: schedule, sweeps, reasons      lower.plan
    kernels    Plan       Kernels, in the kernel language      lower.kernels
    module     Kernels    the text that a person keeps         lower.host, emit

A stage is a property of `Compilation`, computed when it is first asked for and kept. `STAGES` names those that print.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnc.errors import AttncError, Diagnostic, raise_all
from attnc.options import DEFAULTS, Options, make_options
from attnc.source import Source

if TYPE_CHECKING:
    from attnc.analyze.facts import Facts, Reason
    from attnc.analyze.grid_facts import Grid
    from attnc.check import Checked
    from attnc.ir.nodes import Attention, Int
    from attnc.lower.kernels import Kernels
    from attnc.lower.plan import Plan
    from attnc.plot import Plot
    from attnc.run.cost import Setting
    from attnc.run.function import AttentionFunction
    from attnc.run.memory import Declared, Known
    from attnc.syntax.tree import File


def load(path: str | Path, **options: object) -> AttentionFunction:
    """The attention of a `.attn` file as a function; `name=...` says which, where the file holds several."""
    from attnc.syntax.reading import read_source

    return Compilation(read_source(path), make_options(**options)).function()


def compile(text: str, **options: object) -> AttentionFunction:
    """The attention of a text as a function."""
    return Compilation(Source("<string>", text), make_options(**options)).function()


def _as_this_process_needs(options: Options) -> Options:
    """Checked where `ATTNC_CHECK_READS=1`; without kernels where there is no Triton, as on a laptop without Linux."""
    if os.environ.get("ATTNC_CHECK_READS") == "1":
        options = replace(options, check_reads=True)
    if not options.kernels or find_spec("triton"):
        return options
    if options.backend == "triton":
        what = '`backend="triton"` needs triton, which is not installed'
        raise AttncError(Diagnostic("missing-package", what, helps=("install it: `pip install triton`",)))
    return replace(options, kernels=False)


@dataclass(frozen=True)
class Compilation:
    """One source and one choice of options, and whatever was asked about them so far."""

    source: Source
    options: Options = DEFAULTS

    @cached_property
    def tree(self) -> File:
        from attnc.syntax.parser import parse_file

        return parse_file(self.source)

    @cached_property
    def checked(self) -> Checked:
        from attnc.check import find_mistakes

        try:
            tree = self.tree
        except AttncError:
            from attnc.check.beyond import find_all_mistakes

            raise AttncError(*find_all_mistakes(self.source)) from None
        return find_mistakes(tree)

    @property
    def attentions(self) -> tuple[Attention, ...]:
        raise_all(self.checked.diagnostics)
        return self.checked.attentions

    @cached_property
    def attention(self) -> Attention:
        return _chosen(self.attentions, self.options.name, self.source)

    @cached_property
    def facts(self) -> Facts:
        from attnc.analyze.facts import Facts
        from attnc.analyze.implied import find_implied
        from attnc.analyze.linear import find_linear
        from attnc.analyze.ranges import find_ranges
        from attnc.analyze.rows import find_rows
        from attnc.analyze.tile_test import find_tile_test
        from attnc.analyze.weights import find_weights

        implied, weights = find_implied(self.attention), find_weights(self.attention)
        return Facts(
            keys=find_ranges(self.attention, "j"),
            queries=find_ranges(self.attention, "i"),
            tiles=find_tile_test(self.attention, implied.mask),
            implied=implied,
            rows=find_rows(self.attention),
            weights=weights,
            linear=find_linear(self.attention, implied, weights),
        )

    @cached_property
    def grid(self) -> Grid | None:
        """Its tokens on a grid. No schedule asks for it yet, so it is found for who reads it."""
        from attnc.analyze.grid import find_grid

        return find_grid(self.attention)

    @cached_property
    def plan(self) -> Plan:
        from attnc.lower.plan import make_plan

        return make_plan(self.attention, self.facts, self.options.schedule)

    @property
    def counts(self) -> tuple[Int, ...]:
        """What every sweep keeps below 2**29 in a call."""
        return tuple(sweep.counted for sweep in self.plan.sweeps if sweep.counted is not None)

    @property
    def why_no_state(self) -> Reason | None:
        """Why a call takes no `initial_state`; None where it does."""
        return self.plan.why_no_state

    @cached_property
    def kernels(self) -> Kernels:
        from attnc.lower.kernels import lower_plan

        return lower_plan(self.plan, self.options)

    @cached_property
    def _known(self) -> Known | None:
        from attnc.run.memory import recall

        return recall(self.source, self.options.key)

    @property
    def declared(self) -> Declared:
        """What its function says of itself, perhaps kept by another process."""
        from attnc.run.memory import Declared

        known = self._known or self.on_cpu._known
        if known:
            return known.declared
        attention = self.attention
        return Declared(attention.name, attention.doc, tuple((p.name, p.default) for p in attention.params))

    @cached_property
    def text(self) -> str:
        """The module, perhaps kept by another process; what is taken from other files is not kept, as they change."""
        from attnc.run.memory import Known, remember

        if self._known:
            return self._known.text
        text = self.show("module")
        from attnc.syntax.tree import Import

        if not any(isinstance(item, Import) and item.module.id != "std" for item in self.tree.items):
            remember(self.source, self.options.key, Known(self.declared, text))
        return text

    @cached_property
    def module(self) -> str:
        from attnc.emit.module import emit_module
        from attnc.explain import find_lines
        from attnc.lower.host.module import lower_module

        found = find_lines(self.attention, self.facts, self.plan)
        kernels = self.kernels if self.options.kernels else self.kernels.without_triton()
        return emit_module(lower_module(kernels, found, self.options))

    def show(self, stage: str) -> str:
        """The text of a stage, by its name in `STAGES`."""
        if stage not in STAGES:
            names = ", ".join(f"`{name}`" for name in STAGES)
            raise AttncError(
                Diagnostic("unknown-stage", f"there is no stage `{stage}`", notes=(f"there are {names}",))
            )
        return STAGES[stage](self)

    def explain(self, setting: Setting | None = None) -> str:
        """What was found, what was not, and why; and what it costs at a setting."""
        from attnc.explain import USUAL, explain

        return explain(self.attention, self.facts, self._plan_or_why_not(), setting or USUAL, self.grid)

    def explain_json(self, setting: Setting | None = None) -> str:
        """The same for programs."""
        from attnc.explain import USUAL, explain_json

        return explain_json(self.attention, self.facts, self._plan_or_why_not(), setting or USUAL, self.grid)

    def plot(
        self, values: Mapping[str, Any], tile: tuple[int, int], heads: Sequence[int], batches: Sequence[int]
    ) -> Plot:
        """The mask of a small call, to be drawn, and its tiles as they are visited."""
        from attnc.plot import find_plot

        return find_plot(self.attention, self.facts.keys, values, tile, heads, batches)

    def _plan_or_why_not(self) -> Plan | Diagnostic:
        try:
            return self.plan
        except AttncError as error:
            return error.diagnostics[0]

    def function(self) -> AttentionFunction:
        from attnc.run.function import AttentionFunction

        return AttentionFunction(replace(self, options=_as_this_process_needs(self.options)))

    def functions(self) -> dict[str, AttentionFunction]:
        """Every attention of the file, by name."""
        return {attention.name: self._of(attention.name).function() for attention in self.attentions}

    @property
    def on_cpu(self) -> Compilation:
        """The same without kernels, with the stages they share as far as they are known."""
        other = replace(self, options=replace(self.options, kernels=False, tiles=None))
        stages = ("tree", "checked", "facts", "grid", "plan", "kernels")
        other.__dict__.update({stage: self.__dict__[stage] for stage in stages if stage in self.__dict__})
        return other

    def _of(self, name: str) -> Compilation:
        """Another attention of this file, with the stages they share as far as they are known."""
        other = replace(self, options=replace(self.options, name=name))
        other.__dict__.update(tree=self.tree, checked=self.checked)
        return other

    def __reduce__(self) -> tuple[type[Compilation], tuple[Source, Options]]:
        return Compilation, (self.source, self.options)


def _chosen(attentions: tuple[Attention, ...], name: str | None, source: Source) -> Attention:
    if not attentions:
        what = f"`{source.name}` holds no attention: it is a library of macros"
        raise AttncError(
            Diagnostic("no-attention", what, helps=("import its macros from a file that has one",))
        )
    named = {attention.name: attention for attention in attentions}
    if name is None and len(named) == 1:
        return attentions[0]
    if name in named:
        return named[name]
    names = ", ".join(f"`{each}`" for each in named)
    if name is None:
        code, what = "which-attention", f"`{source.name}` holds several attentions: {names}"
    else:
        code, what = "unknown-attention", f"`{source.name}` holds no attention `{name}`; it holds {names}"
    first = attentions[0].name
    say = f'say which: `name="{first}"` in Python, `--name {first}` on the command line'
    raise AttncError(Diagnostic(code, what, helps=(say,)))


def _tree(c: Compilation) -> str:
    from attnc.syntax.text import print_tree

    return print_tree(c.tree)


def _ir(c: Compilation) -> str:
    from attnc.ir.text import print_ir

    return print_ir(c.attention)


def _plan(c: Compilation) -> str:
    from attnc.explain import print_plan

    return print_plan(c.plan)


def _kernels(c: Compilation) -> str:
    from attnc.emit.module import emit_functions

    return emit_functions([*c.kernels.triton, *c.kernels.plain, *c.kernels.around])


# What `attnc show --stage` and `Compilation.show` can print.
STAGES: dict[str, Callable[[Compilation], str]] = {
    "tree": _tree,
    "ir": _ir,
    "facts": Compilation.explain,
    "plan": _plan,
    "kernel": _kernels,
    "module": lambda c: c.module,
}
