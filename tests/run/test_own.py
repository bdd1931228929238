"""Code that somebody else could have planted where compiled code is kept is not run, and the user hears of it once."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnc.cli.main import _plain_warnings
from attnc.compiler import Compilation
from attnc.errors import AttncWarning
from attnc.options import make_options
from attnc.run import own
from attnc.run.loader import load_module
from attnc.run.memory import Declared, Known, recall, remember
from attnc.run.own import Foreign, read_own, write_own
from attnc.source import Source

SPEC = "attention near():\n    mask j <= i\n"
PLANTED = "raise SystemExit('planted')\n"
PROGRAM = """
import sys, torch, attnc
q = torch.eye(6)[None, None]
print(attnc.load(sys.argv[1])(q, q, q).sum().item())
"""


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    own._say.cache_clear()


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache below a folder of the user's, `tmp_path / "home"`."""
    folder = tmp_path / "home" / "cache"
    monkeypatch.setenv("ATTNC_CACHE", str(folder))
    return folder


# Ways in which others may come to write what is read, and what the user is told of each: after a cache was filled.


def open_file(cache: Path) -> None:
    for path in cache.iterdir():
        path.chmod(0o666)


def file_of_the_group(cache: Path) -> None:
    for path in cache.iterdir():
        path.chmod(0o620)


def open_folder(cache: Path) -> None:
    cache.chmod(0o777)


def folder_of_the_group(cache: Path) -> None:
    cache.chmod(0o770)


def open_folder_that_is_sticky(cache: Path) -> None:
    cache.chmod(0o1777)


def open_folder_above(cache: Path) -> None:
    cache.parent.chmod(0o777)


def link_in_an_open_folder(cache: Path) -> None:
    """The link is the user's, and so is where it leads; others can lead it elsewhere."""
    kept = cache.parent.parent / "kept"
    cache.rename(kept)
    cache.symlink_to(kept)
    cache.parent.chmod(0o777)


def open_folder_behind_a_link(cache: Path) -> None:
    behind = cache.parent.parent / "open" / "kept"
    behind.parent.mkdir()
    cache.rename(behind)
    cache.symlink_to(behind)
    behind.parent.chmod(0o777)


def links_for_files(cache: Path) -> None:
    """Each file is a link to one of the user's that holds what others gave: something that was downloaded."""
    elsewhere = cache.parent / "downloads"
    elsewhere.mkdir()
    for path in list(cache.iterdir()):
        path.rename(elsewhere / path.name)
        path.symlink_to(elsewhere / path.name)


WAYS = (
    open_file,
    file_of_the_group,
    open_folder,
    folder_of_the_group,
    open_folder_that_is_sticky,
    open_folder_above,
    link_in_an_open_folder,
    open_folder_behind_a_link,
    links_for_files,
)


def plant(**options: object) -> None:
    """What whoever can write to the cache would write: with its own hash, where it is looked for."""
    key = make_options(**options).key
    remember(Source("near.attn", SPEC), key, Known(Declared("near", "", ()), PLANTED))


@pytest.mark.parametrize("way", WAYS)
def test_planted_code_is_not_taken(cache: Path, way: Callable[[Path], None]) -> None:
    plant()
    assert Compilation(Source("near.attn", SPEC)).text == PLANTED, "this test plants nothing"
    way(cache)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        compilation = Compilation(Source("near.attn", SPEC))
        assert compilation.text == compilation.module
        assert Compilation(Source("near.attn", SPEC)).text == compilation.module
    assert [each.category for each in said] == ([] if way is links_for_files else [AttncWarning])


def test_planted_code_does_not_run(cache: Path, tmp_path: Path) -> None:
    """In a process that loads and calls the spec, as its user would."""
    (tmp_path / "near.attn").write_text(SPEC)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "near.attn")]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    assert first.stderr == ""
    for path in cache.glob("compiled_*"):
        kept = json.loads(path.read_text())
        path.write_text(json.dumps(kept | {"text": PLANTED, "hash": own_hash(PLANTED)}))
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.stderr == "planted\n", "this test plants nothing"
    cache.chmod(0o777)
    held = subprocess.run(command, capture_output=True, text=True, check=True)
    assert held.stdout == first.stdout
    assert held.stderr.count("warning[shared-cache]") == 1


def own_hash(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()


def test_a_module_lies_where_nobody_else_can_change_it(cache: Path) -> None:
    """Triton and `inspect` read it again."""
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    with pytest.warns(AttncWarning):
        path = Path(load_module("elsewhere", "x = 1\n").__file__)
    assert path.parent != cache and path.parent.stat().st_mode & 0o077 == 0
    assert list(cache.iterdir()) == []


def test_a_file_of_another_is_replaced(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant()
    (path,) = cache.iterdir()
    real = os.fstat
    monkeypatch.setattr(os, "fstat", lambda at: of_another(real(at)))
    with pytest.warns(AttncWarning, match="belongs to another user"):
        assert recall(Source("near.attn", SPEC), "") is None
    monkeypatch.undo()
    assert path.stat().st_mode & 0o777 == 0o600


def of_another(found: os.stat_result) -> os.stat_result:
    return os.stat_result((*found[:4], found.st_uid + 1, *found[5:10]))


@pytest.mark.parametrize("name", ["home", "cache"])
def test_a_folder_of_another(cache: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plant()
    real = os.lstat
    monkeypatch.setattr(os, "lstat", lambda at: of_another(real(at)) if Path(at).name == name else real(at))
    with pytest.raises(Foreign), pytest.warns(AttncWarning, match=f"{name}` belongs to another user"):
        read_own(cache / "any")


def test_nobody_else_may_write_what_is_kept(cache: Path) -> None:
    before = os.umask(0)
    try:
        write_own(cache / "deep" / "file", b"text")
    finally:
        os.umask(before)
    made = [cache.parent, cache, cache / "deep", cache / "deep" / "file"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700, 0o700, 0o700, 0o600]
    assert read_own(cache / "deep" / "file") == b"text"


def test_a_link_is_replaced_and_not_followed(cache: Path, tmp_path: Path) -> None:
    """Else a link that was planted would have the user write over a file of their own."""
    mine = tmp_path / "mine"
    mine.write_text("mine")
    cache.mkdir(parents=True)
    (cache / "file").symlink_to(mine)
    write_own(cache / "file", b"kept")
    assert mine.read_text() == "mine" and not (cache / "file").is_symlink()


def test_a_pipe_holds_nobody_up(cache: Path) -> None:
    cache.mkdir(parents=True)
    os.mkfifo(cache / "pipe")
    with pytest.raises(FileNotFoundError):
        read_own(cache / "pipe")


def test_a_ring_of_links(cache: Path) -> None:
    cache.parent.mkdir()
    cache.symlink_to(cache)
    with pytest.raises(OSError):
        read_own(cache / "any")


def test_links_of_the_user_are_followed(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir(mode=0o700)
    (tmp_path / "home").mkdir()
    cache.symlink_to(Path("..") / "far" / ".." / "far")
    write_own(cache / "file", b"text")
    assert (tmp_path / "far" / "file").read_bytes() == read_own(cache / "file") == b"text"


def test_without_owners_nothing_is_taken(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    plant()
    monkeypatch.delattr(os, "geteuid")
    with pytest.warns(AttncWarning, match="this system does not say who owns a file"):
        assert recall(Source("near.attn", SPEC), "") is None


# ---- any way to a folder -----------------------------------------------------------------------------


FOLDERS = st.lists(
    st.tuples(st.sampled_from([0o700, 0o755, 0o775, 0o757, 0o1777, 0o1770, 0o2755, 0o2775]), st.booleans()),
    min_size=1,
    max_size=4,
)


@given(FOLDERS, st.sampled_from([0o600, 0o644, 0o400, 0o660, 0o602]))
def test_any_way(
    tmp_path_factory: pytest.TempPathFactory, folders: list[tuple[int, bool]], rights: int
) -> None:
    """Folders in each other, some by a link from the one above to a folder apart, with any rights."""
    apart, here = tmp_path_factory.mktemp("apart"), tmp_path_factory.mktemp("way")
    made: list[tuple[Path, int]] = []
    for number, (mode, is_link) in enumerate(folders):
        there = here / str(number)
        real = apart / str(number) if is_link else there
        real.mkdir()
        if is_link:
            there.symlink_to(real)
        made.append((real, mode))
        here = there
    (here / "file").write_bytes(b"text")
    (here / "file").chmod(rights)
    for path, mode in made:
        path.chmod(mode)
    *above, last = [mode for _, mode in made]
    is_own = not (rights & 0o022 or last & 0o022) and all(mode & 0o1000 or not mode & 0o022 for mode in above)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if is_own:
            assert read_own(here / "file") == b"text"
        else:
            with pytest.raises(Foreign):
                read_own(here / "file")


# ---- in words ----------------------------------------------------------------------------------------


@pytest.fixture
def shared(cache: Path) -> Iterator[Path]:
    cache.mkdir(parents=True)
    cache.chmod(0o775)
    yield cache


def test_what_is_said(shared: Path) -> None:
    with pytest.warns(AttncWarning) as said:
        Compilation(Source("near.attn", SPEC)).text  # noqa: B018
    assert [str(each.message) for each in said] == [expected(shared)]


def test_the_command_line_says_it_alone() -> None:
    """Without the line of Python that gave it; other warnings are as they were."""
    before = warnings.formatwarning
    with _plain_warnings():
        assert warnings.formatwarning(AttncWarning("this"), AttncWarning, "file.py", 3) == "this\n"
        assert warnings.formatwarning("that", UserWarning, "file.py", 3) == before(
            "that", UserWarning, "file.py", 3
        )
    assert warnings.formatwarning is before


def expected(cache: Path) -> str:
    return (
        f"warning[shared-cache]: nothing that is kept in `{cache}` is used: others may write to `{cache}`\n"
        "= note: code is kept there, and others could have put theirs in its place; so all is compiled anew\n"
        f"= help: `chmod go-w {cache}`, or let `ATTNC_CACHE` name a folder of your own"
    )
