"""What a caller may choose, as one table.

Enters: keywords of `attnc.load` or flags of a command. Leaves: a frozen `Options`. The fields below are the table: the
command line draws its flags from it, the API its keywords, and whoever caches a result its key. An option is added by
adding a field.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Literal, get_args

from attnc.errors import Diagnostic, raise_all
from attnc.tiles import ChosenTiles

Backend = Literal["auto", "triton", "cpu", "reference"]
ScheduleName = Literal["auto", "linear", "tiled"]


def _about(
    text: str, kind: type, choices: tuple[str, ...] = (), *, in_text: bool = True, has_flag: bool = True
) -> dict[str, Any]:
    return {"help": text, "kind": kind, "choices": choices, "in_text": in_text, "has_flag": has_flag}


@dataclass(frozen=True)
class Options:
    """The options of a compilation and of its function; a field is a row of the table."""

    name: str | None = field(
        default=None, metadata=_about("the attention to take, where the file holds several", str)
    )
    backend: Backend = field(
        default="auto",
        metadata=_about(
            "what runs a call; auto: by the device of the tensors", str, get_args(Backend), in_text=False
        ),
    )
    schedule: ScheduleName = field(
        default="auto",
        metadata=_about(
            "how a call is computed; linear: by a state of the keys, in time that grows with the tokens; "
            "tiled: pair by pair; auto: linear where that is found and pays, and else tiled",
            str,
            get_args(ScheduleName),
        ),
    )
    check_sorted: bool = field(
        default=True, metadata=_about("check in every call that `sorted` arrays do not decrease", bool)
    )
    check_reads: bool = field(
        default=False,
        metadata=_about(
            "check in every call of the kernels, as on the CPU, that no index leaves its array; a GPU is waited for",
            bool,
        ),
    )
    kernels: bool = field(
        default=True,
        metadata=_about(
            "write Triton kernels; without them the module runs on the CPU, by torch alone", bool
        ),
    )
    tiles: ChosenTiles | None = field(
        default=None,
        metadata=_about(
            "tiles that were chosen for one GPU beside the usual ones", ChosenTiles, has_flag=False
        ),
    )

    @property
    def key(self) -> str:
        """The options that shape the emitted text and are not at their default: same key, same text."""
        chosen = ((o.name, getattr(self, o.name)) for o in OPTIONS if o.in_text)
        return " ".join(f"{name}={value}" for name, value in chosen if value != _BY_NAME[name].default)


@dataclass(frozen=True)
class Option:
    """A row of the table. `in_text` says that the emitted module depends on it, `has_flag` that a text can say it."""

    name: str
    kind: type
    default: object
    help: str
    choices: tuple[str, ...]
    in_text: bool
    has_flag: bool


OPTIONS: tuple[Option, ...] = tuple(
    Option(name=f.name, default=f.default, **f.metadata) for f in fields(Options)
)
DEFAULTS = Options()
_BY_NAME = {option.name: option for option in OPTIONS}


def make_options(**keywords: object) -> Options:
    """Options from keywords; every keyword that is unknown or has an impossible value is reported, at once."""
    raise_all(d for name, value in keywords.items() if (d := _mistake(name, value)) is not None)
    return Options(**keywords)  # type: ignore[arg-type]


def _mistake(name: str, value: object) -> Diagnostic | None:
    option = _BY_NAME.get(name)
    if option is None:
        close = get_close_matches(name, _BY_NAME, n=3)
        return Diagnostic(
            "unknown-option",
            f"`{name}` is not an option",
            notes=("the options are " + ", ".join(f"`{o.name}`" for o in OPTIONS),),
            helps=("did you mean " + " or ".join(f"`{c}`" for c in close) + "?",) if close else (),
        )
    if value is None and option.default is None:
        return None
    if type(value) is not option.kind:
        return _impossible(name, value, f"{_KINDS[option.kind]}")
    if option.choices and value not in option.choices:
        return _impossible(name, value, "one of " + ", ".join(f"`{c}`" for c in option.choices))
    return None


_KINDS: dict[type, str] = {
    str: "a text",
    bool: "true or false",
    ChosenTiles: "what `attnc.inspect.choose` chose, as `choose(...).tiles`",
}


def _impossible(name: str, value: object, needs: str) -> Diagnostic:
    return Diagnostic("bad-option", f"`{name}` cannot be `{value}`", helps=(f"give {needs}",))
