"""The check of a whole file.

Enters: its tree. Leaves: its attentions, or every mistake in it at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from attnc.check.clauses import check_attention
from attnc.check.definitions import define_items
from attnc.check.expressions import Elaborator
from attnc.check.imports import Folder, Importer, Modules, named_normalizations
from attnc.check.names import Scope
from attnc.check.report import Report
from attnc.check.standard import Module
from attnc.errors import Diagnostic
from attnc.ir.nodes import Attention
from attnc.source import Source, Span
from attnc.syntax import tree


@dataclass(frozen=True)
class Checked:
    """What a file holds and what there is to say about it. Where there is an error there are no attentions."""

    attentions: tuple[Attention, ...]
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def is_fine(self) -> bool:
        return all(d.severity != "error" for d in self.diagnostics)


def find_mistakes(file: tree.File, modules: Modules | None = None) -> Checked:
    """The attentions of a file, with all errors and warnings as values."""
    return _FileCheck(source_of(file), modules).check(file)


def source_of(file: tree.File) -> Source:
    """The text that a tree was read from."""
    span = file.span or next((item.span for item in file.items if item.span is not None), None)
    return span.source if span is not None else Source("<string>", "")


@dataclass
class _FileCheck:
    """The check of one file and of the files it imports."""

    source: Source
    modules: Modules | None
    recursive: set[int] = field(default_factory=set)

    def check(self, file: tree.File) -> Checked:
        importer = Importer(self.modules or Folder(self.source), self._define)
        self.importer = importer
        importer.start(self.source)
        report = Report(self.source)
        found: tuple[Attention, ...] = ()
        try:
            found = self._attentions(file, report)
        except RecursionError:
            # The bounds on terms keep far from Python's; whoever calls from deep inside may still meet it.
            report.error("too-large", "this file is nested too deeply to be checked", Span(self.source, 0, 0))
        return Checked(() if report.has_errors else found, report.diagnostics())

    def _attentions(self, file: tree.File, report: Report) -> tuple[Attention, ...]:
        elaborator = self._elaborator(report)
        scope = self._open(file, elaborator)
        attentions = [item for item in file.items if isinstance(item, tree.Attention)]
        found = [check_attention(item, scope, elaborator) for item in attentions]
        return tuple(a for a in found if a is not None)

    def _define(self, module: Module, report: Report) -> Scope:
        return self._open(module.file, self._elaborator(report))

    def _open(self, file: tree.File, elaborator: Elaborator) -> Scope:
        scope = Scope()
        for item in file.items:
            if isinstance(item, tree.Import):
                self.importer.take(item, scope, elaborator.report)
        define_items(file, scope, elaborator)
        return scope

    def _elaborator(self, report: Report) -> Elaborator:
        return Elaborator(report, named_normalizations(), recursive=self.recursive)
