"""What a person gives by name on the command line.

Enters: words such as `window=256`, `128x64`, `doc=doc.npy`. Leaves: texts by name, the size of a tile, tensors. A word
that has not this form is a mistake of the command line; what it says is judged by the spec.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnc.errors import AttncError, Diagnostic

if TYPE_CHECKING:
    from torch import Tensor

    from attnc.ir.nodes import Attention, Param


Pairs = tuple[tuple[str, str], ...]


def read_pairs(ctx: click.Context, option: click.Parameter, words: Sequence[str]) -> Pairs:
    """Each `NAME=SOMETHING` in two."""
    pairs: list[tuple[str, str]] = []
    for word in words:
        name, _, text = (part.strip() for part in word.partition("="))
        if not (name and text):
            raise click.BadParameter(f"`{word}` is not of the form NAME=VALUE")
        pairs.append((name, text))
    return tuple(pairs)


def read_tile(ctx: click.Context, option: click.Parameter, word: str) -> tuple[int, int]:
    """`128x64`: queries and keys of a tile; `128` is `128x128`."""
    found = re.fullmatch(r"([1-9][0-9]{0,8})(?:x([1-9][0-9]{0,8}))?", word)
    if found is None:
        raise click.BadParameter(f"`{word}` is no size of a tile, such as 128 or 128x64")
    return int(found[1]), int(found[2] or found[1])


def by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The pairs as a table. A name that stands there twice is a mistake."""
    found: dict[str, str] = {}
    for name, text in pairs:
        if name in found:
            raise click.UsageError(f"`{name}` is given twice")
        found[name] = text
    return found


def read_arrays(attention: Attention, texts: Mapping[str, str]) -> dict[str, Tensor]:
    """The arrays of a call, each from a file or from its entries."""
    from attnc.run.settings import check_names

    check_names(attention, texts)
    params = {param.name: param for param in attention.params}
    return {name: _read_array(params.get(name), name, text) for name, text in texts.items()}


def _read_array(param: Param | None, name: str, text: str) -> Tensor:
    if param is None or not param.sizes:
        raise _wrong(name, f"`{name}` is no array", f"give it as `--at {name}={text}`")
    if text.endswith(".npy"):
        return _read_file(Path(text), name)
    import torch

    from attnc.run.settings import read_number

    entries = [read_number(param, entry.strip()) for entry in text.split(",")]
    return torch.tensor(
        entries, dtype={"int": torch.int64, "float": torch.float64, "bool": torch.bool}[param.sort]
    )


def _read_file(path: Path, name: str) -> Tensor:
    import numpy as np
    import torch

    try:
        with path.open("rb") as file:
            found = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError) as bad:
        what = f"`{path}` holds no array of numbers as .npy files do"
        raise AttncError(
            Diagnostic("unreadable-file", what, notes=(str(bad).splitlines()[0].lower(),))
        ) from None
    for kind in (np.bool_, np.int64, np.float64):
        if np.can_cast(found.dtype, kind, "safe") and found.dtype.kind in "biuf":
            return torch.from_numpy(found.astype(kind))
    raise _wrong(
        name, f"`{path}` holds entries of type {found.dtype}", "save ints, bools or floats of up to 64 bits"
    )


def _wrong(name: str, what: str, help_: str) -> AttncError:
    return AttncError(Diagnostic("wrong-type", what, helps=(help_,)))
