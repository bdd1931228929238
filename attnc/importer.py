"""`from my_package import sliding_window` finds `sliding_window.attn`.

Enters: the name of a package, once. Leaves: a finder on `sys.meta_path` that looks for `.attn` files in that package
and its subpackages, and nowhere else. It is asked last, so a Python module of the same name wins. The module of a file
with one attention can be used as that attention: `sliding_window(q, k, v)`, `sliding_window.explain()`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnc.run.function import AttentionFunction

SUFFIX = ".attn"
_lock = threading.Lock()


def install_importer(package: str) -> Importer:
    """Let modules import the `.attn` files of this package. Installing twice is installing once."""
    with _lock:
        for finder in sys.meta_path:
            if isinstance(finder, Importer) and finder.package == package:
                return finder
        importer = Importer(package)
        sys.meta_path.append(importer)
        return importer


class Importer(MetaPathFinder):
    """Finds the `.attn` files of one package."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The import system's question; `path` is that of the package which the name is looked up in."""
        parent, _, name = fullname.rpartition(".")
        if path is None or not f"{parent}.".startswith(f"{self.package}."):
            return None
        for folder in path:
            file = Path(folder) / f"{name}{SUFFIX}"
            if file.is_file():
                return spec_from_file_location(fullname, file, loader=_AttnLoader(file))
        return None

    def uninstall(self) -> None:
        """Find no more files. What was imported stays imported."""
        with _lock:
            if self in sys.meta_path:
                sys.meta_path.remove(self)


class AttnModule(ModuleType):
    """The module of a `.attn` file: its attentions by name, and the attention itself where there is but one."""

    attentions: dict[str, AttentionFunction]

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        if len(self.attentions) != 1:
            names = ", ".join(f"`{name}`" for name in self.attentions)
            what = f"several attentions: call one of {names}" if names else "no attention"
            raise TypeError(f"module `{self.__name__}` holds {what}")
        (only,) = self.attentions.values()
        return only(*arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        attentions: dict[str, AttentionFunction] = self.__dict__.get("attentions", {})
        if name in attentions:
            return attentions[name]
        if len(attentions) == 1 and not name.startswith("_"):
            (only,) = attentions.values()
            return getattr(only, name)
        raise AttributeError(f"module `{self.__name__}` has no attribute `{name}`", name=name, obj=self)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.attentions})

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        """A model may hold this as its attention, and is copied and saved: it is found again by its name."""
        return import_module, (self.__name__,)


class _AttnLoader(Loader):
    def __init__(self, file: Path) -> None:
        self.file = file

    def create_module(self, spec: ModuleSpec) -> AttnModule:
        return AttnModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Check the file at once, so that a mistake in it is seen where it is imported; compile when called."""
        from attnc.compiler import Compilation
        from attnc.syntax.reading import read_source

        compilation = Compilation(read_source(self.file))
        module.__dict__.update(attentions=compilation.functions(), __doc__=compilation.tree.doc)

    def get_source(self, fullname: str) -> str:
        """What `inspect.getsource` shows."""
        return self.file.read_text(encoding="utf-8")
