"""Whatever happens to the cache, the module that is loaded is the text that was given."""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from attnc.run import loader
from attnc.run.loader import cache_file, load_module, write_file

TEXT = '"""A module."""\n\n\ndef double(x):\n    return 2 * x\n'


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no module loaded from it yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ATTNC_CACHE", str(folder))
    for name in [name for name in sys.modules if name.startswith("attnc_modules")]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_module_is_a_real_file(cache: Path) -> None:
    module = load_module("double", TEXT)
    assert module.double(21) == 42
    assert Path(module.__file__).parent == cache
    assert Path(module.__file__).read_text() == TEXT
    assert inspect.getsource(module.double) == "def double(x):\n    return 2 * x\n"
    assert inspect.getsourcefile(module.double) == module.__file__


def test_names_are_readable_and_follow_from_the_text(cache: Path) -> None:
    one, two = load_module("double", TEXT), load_module("double", TEXT + "\n# another\n")
    assert one.__name__.startswith("attnc_modules.double_")
    assert one.__name__ != two.__name__
    code = "import sys; from attnc.run.loader import load_module; print(load_module('double', sys.argv[1]).__name__)"
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    other = subprocess.run(
        [sys.executable, "-c", code, TEXT], capture_output=True, text=True, check=True, env=env
    )
    assert other.stdout.strip() == one.__name__


def test_the_same_text_is_the_same_module(cache: Path) -> None:
    assert load_module("double", TEXT) is load_module("double", TEXT)
    assert len(files(cache)) == 1


def test_any_name_makes_a_file_name(cache: Path) -> None:
    assert load_module("../no path/é", TEXT).__name__.startswith("attnc_modules.___no_path___")
    assert len(files(cache)) == 1


@pytest.mark.parametrize("content", ["", TEXT[:-9], TEXT.replace("2", "3"), "raise SystemExit"])
def test_a_damaged_file_is_written_again(cache: Path, content: str) -> None:
    path = Path(load_module("double", TEXT).__file__)
    path.write_text(content)
    del sys.modules[f"attnc_modules.{path.stem}"]
    module = load_module("double", TEXT)
    assert module.double(21) == 42
    assert path.read_text() == TEXT
    assert "2 * x" in inspect.getsource(module.double)


def test_a_forged_bytecode_file_is_not_believed(cache: Path) -> None:
    path = Path(load_module("double", TEXT).__file__)
    forged = cache / "forged.py"
    forged.write_text(TEXT.replace("2 * x", "3 * x"))
    stat = path.stat()
    os.utime(forged, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    code = "import py_compile, sys; py_compile.compile(sys.argv[1], cfile=sys.argv[2])"
    import importlib.util

    target = importlib.util.cache_from_source(str(path))
    subprocess.run([sys.executable, "-c", code, str(forged), target], check=True)
    del sys.modules[f"attnc_modules.{path.stem}"]
    assert load_module("double", TEXT).double(21) == 42


def test_functions_can_be_pickled(cache: Path) -> None:
    double = load_module("double", TEXT).double
    assert pickle.loads(pickle.dumps(double)) is double


def test_a_module_that_fails_leaves_nothing_behind(cache: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        load_module("broken", "1 / 0\n")
    assert not [name for name in sys.modules if name.startswith("attnc_modules.broken")]


@pytest.mark.parametrize("where", ["a file, not a folder", "below a file"])
def test_without_a_writable_cache_a_private_folder_serves(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    monkeypatch.setenv("ATTNC_CACHE", str(file if where.startswith("a file") else file / "below"))
    module = load_module("double", TEXT)
    assert module.double(21) == 42
    assert Path(module.__file__).is_file()
    assert Path(module.__file__).parent.stat().st_mode & 0o077 == 0


def test_a_user_without_a_home(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTNC_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def no_home(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    assert load_module("double", TEXT).double(21) == 42


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTNC_CACHE", "~/here")
    assert loader.cache_directory() == Path.home() / "here"
    monkeypatch.delenv("ATTNC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert loader.cache_directory() == Path("/somewhere/attnc")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative, so not to be used")
    assert loader.cache_directory() == Path.home() / ".cache/attnc"


def test_threads_share_one_module(cache: Path) -> None:
    slow = "import time\ntime.sleep(0.05)\nvalue = object()\n"
    start, found = threading.Barrier(8), []

    def work() -> None:
        start.wait()
        found.append(load_module("slow", slow).value)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_processes_may_load_the_same_at_once(cache: Path) -> None:
    """Some start while the file is missing, some while it is there and damaged; each gets the whole text."""
    text = TEXT + f"\nPADDING = '{'x' * 200_000}'\n"
    code = (
        "import sys; from attnc.run.loader import load_module\n"
        "module = load_module('double', sys.stdin.read())\n"
        "assert module.double(21) == 42 and len(module.PADDING) == 200_000\n"
        'assert open(module.__file__).read().endswith("x\'\\n")'
    )
    for damage in ("", "truncated"):
        workers = [
            subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True) for _ in range(4)
        ]
        for worker in workers:
            worker.stdin.write(text)
            worker.stdin.close()
        assert [worker.wait() for worker in workers] == [0] * 4, damage
        (path,) = cache.glob("double_*")
        assert path.read_text() == text
        path.write_text(text[:100])
    assert files(cache) == [path.name]


def test_write_file_keeps_links_and_permissions(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    write_file(link, "new")
    assert link.is_symlink()
    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o640
    assert files(tmp_path) == ["file", "link"]


def test_write_file_leaves_the_old_text_where_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_file(file, "new")
    assert file.read_text() == "old"
    assert files(tmp_path) == ["file"]


def test_write_file_writes_into_a_device() -> None:
    write_file(Path(os.devnull), "text")
    assert not Path(os.devnull).is_file()


def test_cache_file_holds_the_text(cache: Path) -> None:
    assert cache_file("note.txt", "one").read_text() == "one"
    assert cache_file("note.txt", "two").read_text() == "two"
    assert files(cache) == ["note.txt"]
