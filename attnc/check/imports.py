"""Files that take from each other.

Enters: the `from ... import ...` lines of a file. Leaves: the entries they name, from the standard library or from
files beside the importing one; every file is read once, and a cycle is a diagnostic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Protocol

from attnc.check.names import KIND_TITLES, Entry, Scope, did_you_mean
from attnc.check.report import Report
from attnc.check.standard import NORMALIZATIONS, Module, standard_modules, standard_names
from attnc.errors import AttncError, Label
from attnc.source import Source, Span
from attnc.syntax import tree


class Modules(Protocol):
    """Where `from masks import near` finds `masks`."""

    def load(self, name: str) -> Module | None:
        """The file of that name; None where there is none. Raises `AttncError` where it cannot be parsed."""

    def names(self) -> tuple[str, ...]:
        """The names that `load` knows."""


@dataclass(frozen=True)
class Folder:
    """The files beside a source. A source that is no file has none."""

    source: Source

    @property
    def path(self) -> Path | None:
        path = Path(self.source.name)
        return path.parent if path.is_file() else None

    def load(self, name: str) -> Module | None:
        """Read `name.attn`."""
        from attnc.syntax.parser import parse_file
        from attnc.syntax.reading import read_source

        if self.path is None or not (self.path / f"{name}.attn").is_file():
            return None
        source = read_source(self.path / f"{name}.attn")
        return Module(source, parse_file(source))

    def names(self) -> tuple[str, ...]:
        if self.path is None:
            return ()
        return tuple(
            sorted(p.stem for p in self.path.glob("*.attn") if p.stem != Path(self.source.name).stem)
        )


# What opens a file: its scope, with everything it defines.
Define = Callable[[Module, Report], Scope]


@dataclass
class Importer:
    """Modules that were opened, and those that are being opened right now."""

    modules: Modules
    define: Define
    _known: dict[str, Scope | None] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)

    def take(self, item: tree.Import, scope: Scope, report: Report) -> None:
        """Declare the names of one `from ... import ...` in `scope`."""
        span = item.module.span or item.span or Span(report.source, 0, 0)
        if item.module.id == "std":
            self._take_standard(item, scope, report)
            return
        found = self.open(item.module.id, span, report)
        if found is None:
            for name in item.names:
                scope.leave_broken(name.id, name.span or span)
            return
        own = {title: entry for title, entry in found.entries.items() if not entry.is_imported}
        for name in item.names:
            entry = own.get(name.id)
            at = name.span or span
            if entry is None:
                self._unknown(item.module.id, name, tuple(own), at, scope, report)
            elif entry.kind not in ("macro", "const"):
                report.error(
                    "not-importable",
                    f"`{name.id}` is {KIND_TITLES[entry.kind]}, and only macros and constants can be imported",
                    at,
                    related=[Label(entry.span, "defined here")] if entry.span else [],
                )
                scope.leave_broken(name.id, at)
            else:
                self._declare(name, entry, at, scope, report)

    def open(self, name: str, span: Span, report: Report) -> Scope | None:
        """The scope of the module; None, and a diagnostic the first time, where it cannot be had."""
        if name in self._open:
            cycle = [*self._open[self._open.index(name) :], name]
            report.error(
                "import-cycle",
                f"`{name}` imports itself: {' -> '.join(f'`{n}`' for n in cycle)}",
                span,
                helps=["move what both files need into a third one"],
            )
            return None
        if name not in self._known:
            self._known[name] = self._read(name, span, report)
        return self._known[name]

    def _read(self, name: str, span: Span, report: Report) -> Scope | None:
        try:
            module = self.modules.load(name)
        except AttncError as error:
            report.adopt(error.diagnostics)
            return None
        if module is None:
            near = did_you_mean(name, (*self.modules.names(), "std"), report)
            report.error(
                "unknown-module",
                f"there is no file `{name}.attn` beside this one",
                span,
                helps=near or ("`std` is the standard library",),
            )
            return None
        self._open.append(name)
        inner = Report(module.source)
        try:
            scope = self.define(module, inner)
        finally:
            self._open.pop()
        report.adopt(inner.diagnostics())
        return scope

    def start(self, source: Source) -> None:
        """Remember the file that imports first, so that a cycle back to it is seen."""
        self._open.append(Path(source.name).stem)

    def _take_standard(self, item: tree.Import, scope: Scope, report: Report) -> None:
        names = standard_names()
        for name in item.names:
            at = name.span or item.span or Span(report.source, 0, 0)
            if name.id in names:
                self._declare(name, standard_entry(name.id), at, scope, report)
            else:
                self._unknown("std", name, tuple(names), at, scope, report)

    def _unknown(
        self, module: str, name: tree.Name, names: tuple[str, ...], at: Span, scope: Scope, report: Report
    ) -> None:
        scope.leave_broken(name.id, at)
        report.error(
            "unknown-import",
            f"`{module}` defines no `{name.id}`",
            at,
            helps=did_you_mean(name.id, names, report)
            or ([f"it defines {', '.join(f'`{n}`' for n in sorted(names))}"] if len(names) <= 8 else ()),
        )

    def _declare(self, name: tree.Name, entry: Entry, at: Span, scope: Scope, report: Report) -> None:
        scope.declare(name.id, replace(entry, span=at, is_imported=True), report)


@cache
def standard_scope(module: str) -> Scope:
    """The macros of a file of the standard library, which imports nothing and has no constants."""
    scope = Scope()
    for item in standard_modules()[module].file.items:
        if isinstance(item, tree.Macro):
            scope.entries[item.name.id] = Entry("macro", item.name.span, macro=item, home=scope)
    return scope


def standard_entry(name: str) -> Entry:
    """What a name of the standard library stands for."""
    return standard_scope(standard_names()[name]).entries[name]


def named_normalizations() -> dict[str, Entry]:
    """The normalizations that need no import."""
    return dict(standard_scope(NORMALIZATIONS).entries)
