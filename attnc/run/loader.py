"""Module text to an imported module.

Enters: a name and the text of an emitted module. Leaves: the module, imported from a real file, so that Triton, pdb,
`inspect.getsource` and the reader can open it. The file's name carries the hash of its content. A file that exists is
read and compared, never believed, and every write is a rename: any number of processes may compile the same at once.
It lies where nobody else can change it (`own.py`), since Triton reads kernels from it once more.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import shutil
import sys
import tempfile
import threading
from contextlib import suppress
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from attnc.run.own import Foreign, new_file, read_own, write_own

PARENT = "attnc_modules"
_lock = threading.RLock()


def load_module(name: str, text: str) -> ModuleType:
    """The module of this text. The same name and text give the same module, whoever asks and how often."""
    file_name = name_file(name, text)
    full_name = f"{PARENT}.{file_name}"
    with _lock:
        if full_name in sys.modules:
            return sys.modules[full_name]
        path = cache_file(f"{file_name}.py", text)
        spec = spec_from_file_location(full_name, path, loader=_TextLoader(full_name, str(path), text))
        assert spec is not None and spec.loader is not None  # a loader was given
        module = module_from_spec(spec)
        parent = _parent()
        sys.modules[full_name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[full_name]
            raise
        setattr(parent, file_name, module)
        return module


def cache_directory() -> Path:
    """`$ATTNC_CACHE`, else `attnc` in the user's cache directory. It need not exist, nor be writable."""
    if chosen := os.environ.get("ATTNC_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base and os.path.isabs(base) else Path("~/.cache").expanduser()) / "attnc"


def cache_file(file_name: str, text: str) -> Path:
    """The path of a file that holds exactly this text: in the cache, or in a private place if that is not to be had."""
    try:
        return _place(cache_directory(), file_name, text)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return _place(_private_directory(), file_name, text)


def write_file(path: Path, text: str) -> None:
    """Write so that a reader sees all of the old text or all of the new, whatever happens in between.

    What is there keeps its permissions, a link goes on pointing to its file, and a pipe or a device is written to.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(text.encode())
        return
    with new_file(path, 0o666) as file:
        file.write(text.encode())
        with suppress(FileNotFoundError):
            shutil.copymode(path, file.name)


class _TextLoader(SourceFileLoader):
    """Runs the text that was compiled, not what the file or a `.pyc` beside it may hold by the time it is read."""

    def __init__(self, full_name: str, path: str, text: str) -> None:
        super().__init__(full_name, path)
        self.text = text

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)

    def get_source(self, fullname: str) -> str:
        return self.text


def name_file(name: str, text: str) -> str:
    readable = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"{readable}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _parent() -> ModuleType:
    """The package that pickle and `import` find above every module that was loaded here."""
    if PARENT not in sys.modules:
        package = ModuleType(PARENT, "Modules that attnc emitted and loaded in this process.")
        package.__path__ = []
        sys.modules[PARENT] = package
    return sys.modules[PARENT]


def _place(directory: Path, file_name: str, text: str) -> Path:
    path, data = directory / file_name, text.encode()
    with suppress(FileNotFoundError, Foreign):
        if read_own(path) == data:
            return path
    write_own(path, data)
    return path


@cache
def _private_directory() -> Path:
    directory = tempfile.mkdtemp(prefix="attnc-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)
