"""`from my_package import sliding_window`, in packages made for each test."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import attnc
from attnc.errors import AttncError
from attnc.importer import AttnModule, Importer
from attnc.run.function import AttentionFunction

CAUSAL = '"""Causal."""\n\nattention causal():\n    mask j <= i\n'
TWO = "attention one():\n    mask j <= i\n\nattention two():\n    mask i <= j\n"
Package = Callable[..., str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Makes a package of files, installs the importer for it, and forgets both in the end."""
    monkeypatch.syspath_prepend(str(tmp_path))
    finders, modules = list(sys.meta_path), set(sys.modules)

    def make(name: str = "my_package", install: bool = True, **files: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        for file, text in {"__init__.py": "", **files}.items():
            path = folder / file.replace("_attn", ".attn")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        importlib.invalidate_caches()
        if install:
            attnc.install_importer(name)
        return name

    yield make
    sys.meta_path[:] = finders
    for name in set(sys.modules) - modules:
        if name.startswith(("my_package", "other")):
            del sys.modules[name]


def test_one_attention_is_the_module_itself(package: Package) -> None:
    package(causal_attn=CAUSAL)
    from my_package import causal

    assert isinstance(causal, AttnModule)
    assert isinstance(causal.causal, AttentionFunction)
    assert causal.__doc__ == "Causal."
    assert causal.__file__.endswith("my_package/causal.attn")
    assert inspect.getsource(causal) == CAUSAL
    q = torch.ones(1, 1, 3, 4, dtype=torch.float64)
    assert torch.equal(causal.reference(q, q, q), q)
    assert causal.tiles(N=4, M=4, block_q=2, block_k=2).visited == 3
    assert "causal" in dir(causal)
    assert importlib.import_module("my_package.causal") is causal


def test_calling_the_module_calls_its_attention(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    package(causal_attn=CAUSAL)
    from my_package import causal

    monkeypatch.setattr(AttentionFunction, "__call__", lambda self, *a, **kw: (self.__name__, a, kw))
    assert causal(1, 2, 3, scale=4) == ("causal", (1, 2, 3), {"scale": 4})


def test_several_attentions_are_taken_by_name(package: Package) -> None:
    package(pair_attn=TWO)
    from my_package import pair
    from my_package.pair import two

    assert two is pair.two
    assert two.__name__ == "two"
    assert pair.one is not pair.two
    with pytest.raises(TypeError, match=r"holds several attentions: call one of `one`, `two`"):
        pair(1, 2, 3)
    with pytest.raises(AttributeError, match=r"`my_package.pair` has no attribute `three`"):
        _ = pair.three
    with pytest.raises(AttributeError):
        _ = pair.explain


def test_files_import_macros_from_beside_them(package: Package) -> None:
    package(
        masks_attn="def near(w) = abs(i - j) < w\n",
        local_attn="from masks import near\n\nattention local():\n    mask near(3)\n",
    )
    from my_package import local

    assert local.tiles(N=100, M=100, block_q=1, block_k=1).visited == 5 * 100 - 6


def test_other_packages_are_left_alone(package: Package) -> None:
    package()
    package("other", install=False, causal_attn=CAUSAL)
    package("my_package_2", install=False, causal_attn=CAUSAL)
    for name in ("other.causal", "my_package_2.causal"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


def test_subpackages_belong_to_the_package(package: Package) -> None:
    package(**{"sub/__init__.py": "", "sub/causal_attn": CAUSAL})
    from my_package.sub import causal

    assert causal.causal.__name__ == "causal"


def test_a_python_module_of_the_same_name_wins(package: Package) -> None:
    package(causal_attn=CAUSAL, **{"causal.py": "WHO = 'python'\n"})
    from my_package import causal

    assert causal.WHO == "python"


def test_a_missing_module_is_missing(package: Package) -> None:
    package(causal_attn=CAUSAL)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("my_package.nothing")
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from my_package import nothing  # noqa: F401


def test_mistakes_are_diagnostics_and_leave_no_module(package: Package) -> None:
    package(wrong_attn="attention wrong():\n    mask j <= ii\n")
    with pytest.raises(AttncError) as caught:
        importlib.import_module("my_package.wrong")
    assert [d.code for d in caught.value.diagnostics] == ["unknown-name"]
    assert "my_package.wrong" not in sys.modules


def test_a_library_has_no_attention_to_import(package: Package) -> None:
    package(masks_attn="def near(w) = abs(i - j) < w\n")
    from my_package import masks

    assert masks.attentions == {}
    with pytest.raises(TypeError, match="holds no attention"):
        masks(1, 2, 3)


def test_reload_reads_the_file_again(package: Package) -> None:
    package(causal_attn=CAUSAL)
    from my_package import causal

    assert causal.tiles(N=4, M=4, block_q=2, block_k=2).visited == 3
    Path(causal.__file__).write_text(TWO)
    assert importlib.reload(causal) is causal
    assert list(causal.attentions) == ["one", "two"]
    Path(causal.__file__).write_text("attention one(\n")
    with pytest.raises(AttncError):
        importlib.reload(causal)
    assert list(causal.attentions) == ["one", "two"]


def test_installing_twice_is_installing_once(package: Package) -> None:
    package(causal_attn=CAUSAL)
    again = attnc.install_importer("my_package")
    assert [f for f in sys.meta_path if isinstance(f, Importer)] == [again]
    again.uninstall()
    again.uninstall()
    assert again not in sys.meta_path
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("my_package.causal")
    attnc.install_importer("my_package")
    assert importlib.import_module("my_package.causal").attentions


def test_threads_install_and_import_one(package: Package) -> None:
    package(install=False, causal_attn=CAUSAL)
    start, found = threading.Barrier(8), []

    def work() -> None:
        start.wait()
        importer = attnc.install_importer("my_package")
        found.append((importer, importlib.import_module("my_package.causal").causal))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({tuple(map(id, pair)) for pair in found}) == 1


def test_a_copy_of_a_module_is_the_module(package: Package) -> None:
    package(causal_attn=CAUSAL)
    causal = importlib.import_module("my_package.causal")
    assert copy.deepcopy(causal) is causal
    assert pickle.loads(pickle.dumps(causal)) is causal
