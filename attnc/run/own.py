"""Files that nobody but the user can have written. What is kept is run by whoever takes it, so it matters whose it is.

Enters: the path of a file that was kept. Leaves: what it holds, read from the descriptor whose owner was asked; or a
`Foreign`, after the user was told once. The file and its folder have to be the user's, and nobody else may write to
them. So it is with every folder above, and with every link on the way, except that root may own these, and that others
may write to a folder where only the owner of an entry can replace it, as in /tmp. The way is followed from its
beginning, so whatever is asked lies where only the user and root could have put it, and nobody can change it between a
question and the next. Where a system does not say who owns a file, nothing is taken.
"""

from __future__ import annotations

import os
import secrets
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

from attnc.errors import AttncWarning, Diagnostic
from attnc.render import render

ROOT = 0
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
MOST_LINKS = 40
OWN_FOLDER, OWN_FILE = 0o700, 0o600


class Foreign(PermissionError):
    """Somebody else may write to a file, or decide what is found under its name."""


def read_own(path: Path) -> bytes:
    """What a file holds. Raises `Foreign`, or another `OSError` where it cannot be read."""
    folder = _follow(path.parent, make=False)
    descriptor = os.open(folder / path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(f"{path} is no file")
        _check_own(found, path, path)
        return file.read()


def write_own(path: Path, data: bytes) -> None:
    """Keep it, whole, where only the user can write. Raises `Foreign`, or another `OSError`; nothing is kept then."""
    folder = _follow(path.parent, make=True)
    with new_file(folder / path.name, OWN_FILE) as file:
        file.write(data)


@contextmanager
def new_file(path: Path, rights: int) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once it is written, and never if that fails."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, rights)) as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


# ---- whose it is -----------------------------------------------------------------------------------


def _follow(folder: Path, *, make: bool) -> Path:
    """A folder of the user's without a link in its name; with `make`, what is not there is made."""
    if not hasattr(os, "geteuid"):
        raise _refusal(folder, "this system does not say who owns a file", "")
    folder = folder.absolute()
    here, todo, links = Path(folder.anchor), list(folder.parts[:0:-1]), 0
    found = os.lstat(here)
    _check_way(found, here, folder)
    while todo:
        name = todo.pop()
        there = here.parent if name == os.pardir else here / name
        if make and not os.path.lexists(there):
            there.mkdir(OWN_FOLDER, exist_ok=True)
        found = os.lstat(there)
        _check_way(found, there, folder)
        if not stat.S_ISLNK(found.st_mode):
            here = there
            continue
        links += 1
        if links > MOST_LINKS:
            raise FileNotFoundError(f"{folder} is a ring of links")
        target = Path(os.readlink(there))
        here = Path(target.anchor) if target.is_absolute() else here
        todo += target.parts[:0:-1] if target.is_absolute() else target.parts[::-1]
    _check_own(found, here, folder)
    return here


def _check_way(found: os.stat_result, path: Path, asked: Path) -> None:
    """Can nobody but the user and root decide what is found here?"""
    if found.st_uid not in (ROOT, os.geteuid()):
        raise _belongs_to_another(path, asked)
    is_open = found.st_mode & OTHERS_WRITE and not found.st_mode & stat.S_ISVTX
    if is_open and not stat.S_ISLNK(found.st_mode):
        raise _others_may_write(path, asked)


def _check_own(found: os.stat_result, path: Path, asked: Path) -> None:
    """Is it the user's, and can nobody else write to it?"""
    if found.st_uid != os.geteuid():
        raise _belongs_to_another(path, asked)
    if found.st_mode & OTHERS_WRITE:
        raise _others_may_write(path, asked)


def _belongs_to_another(path: Path, asked: Path) -> Foreign:
    return _refusal(asked, f"`{path}` belongs to another user", "let `ATTNC_CACHE` name a folder of your own")


def _others_may_write(path: Path, asked: Path) -> Foreign:
    help_ = f"`chmod go-w {path}`, or let `ATTNC_CACHE` name a folder of your own"
    return _refusal(asked, f"others may write to `{path}`", help_)


def _refusal(asked: Path, why: str, help_: str) -> Foreign:
    _say(asked, why, help_)
    return Foreign(f"{asked}: {why}")


@cache
def _say(asked: Path, why: str, help_: str) -> None:
    """Once in a process."""
    told = Diagnostic(
        "shared-cache",
        f"nothing that is kept in `{asked}` is used: {why}",
        notes=("code is kept there, and others could have put theirs in its place; so all is compiled anew",),
        helps=(help_,) if help_ else (),
        severity="warning",
    )
    warnings.warn(render(told), AttncWarning, stacklevel=2)
