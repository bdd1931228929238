"""Random arguments as people pass them.

Enters: a generator of random numbers. Leaves: sizes, numbers and arrays of one call, by name. A drawer of sizes comes
first; the others take what it drew and add to it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.random import Generator

Values = dict[str, Any]
Drawer = Callable[[Generator], Values]
LONGEST = 480


def length(r: Generator, longest: int = LONGEST) -> int:
    return int(r.integers(1, longest + 1))


def sizes(n: int, m: int) -> Values:
    return {"N": n, "M": m, "B": 2, "H": 2}


def square(r: Generator) -> Values:
    n = length(r)
    return sizes(n, n)


def oblong(r: Generator) -> Values:
    """As many keys as queries, or not."""
    return square(r) if r.random() < 0.5 else sizes(length(r), length(r))


def with_context(r: Generator) -> Values:
    """Queries are the last of the keys."""
    m = length(r)
    return sizes(length(r, m), m)


def numbers(drawer: Drawer, /, **bounds: tuple[int, int]) -> Drawer:
    """Numbers from `low` up to and with `high`."""

    def draw(r: Generator) -> Values:
        drawn = {name: int(r.integers(low, high + 1)) for name, (low, high) in bounds.items()}
        return drawer(r) | drawn

    return draw


def chosen(drawer: Drawer, /, **choices: list[int]) -> Drawer:
    def draw(r: Generator) -> Values:
        return drawer(r) | {name: int(r.choice(values)) for name, values in choices.items()}

    return draw


def arrays(drawer: Drawer, /, **rows: tuple[str, int, int]) -> Drawer:
    """An int array for the sizes named by letters, as `("BN", 0, 5)`: entries from 0 up to and with 5."""

    def draw(r: Generator) -> Values:
        v = drawer(r)
        return v | {
            name: r.integers(low, high + 1, tuple(v[letter] for letter in letters))
            for name, (letters, low, high) in rows.items()
        }

    return draw


def marks(drawer: Drawer, share: float, /, **rows: str) -> Drawer:
    def draw(r: Generator) -> Values:
        v = drawer(r)
        return v | {name: r.random(tuple(v[s] for s in letters)) < share for name, letters in rows.items()}

    return draw


# ---- documents -------------------------------------------------------------------------------------


def cuts(r: Generator, n: int, most: int = 7) -> np.ndarray[Any, Any]:
    """Where documents start, and behind them the end: `offsets`."""
    inner = r.choice(np.arange(1, n), min(int(r.integers(0, most)), n - 1), replace=False) if n > 1 else []
    return np.array([0, *sorted(inner), n], dtype=np.int64)


def spread(offsets: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The value of its document, for each token."""
    return np.repeat(values, np.diff(offsets))


def documents(r: Generator) -> Values:
    """Every form in which documents are passed; a mask takes those that it names."""
    v = square(r)
    n = v["N"]
    batch = [cuts(r, n) for _ in range(v["B"])]

    def each(of: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        return np.stack([spread(offsets, of(offsets)) for offsets in batch])

    start, end = each(lambda offsets: offsets[:-1]), each(lambda offsets: offsets[1:])
    prefix = np.minimum(start + int(r.integers(0, 60)), end)
    last = np.array([offsets[-2] for offsets in batch])
    numbered = each(lambda offsets: np.arange(len(offsets) - 1))
    shuffled = each(lambda offsets: r.permutation(len(offsets) - 1))
    found = {
        "start": start,
        "end": end,
        "prefix_end": prefix,
        "last": last,
        "doc": numbered,
        "label": shuffled,
    }
    return v | found | {"window": int(r.integers(1, 120)), "block": int(r.choice([4, 16, 33]))}


def only(drawer: Drawer, **names: str) -> Drawer:
    """The sizes and what is named, under the mask's own names: `only(documents, doc="label")`."""

    def draw(r: Generator) -> Values:
        v = drawer(r)
        return {key: v[key] for key in "NMBH"} | {name: v[key] for name, key in names.items()}

    return draw


def offset_documents(r: Generator) -> Values:
    v = square(r)
    offsets = cuts(r, v["N"])
    docs = len(offsets) - 1
    found = {"offsets": offsets, "docs": docs, "doc": spread(offsets, np.arange(docs))}
    return v | found | {"prefix": int(r.integers(0, 60))}


def cross_documents(r: Generator) -> Values:
    v = sizes(length(r), length(r))
    docs = int(r.integers(1, 8))
    sides = {"query_doc": v["N"], "key_doc": v["M"]}
    return v | {name: np.sort(r.integers(0, docs, (v["B"], n)), axis=-1) for name, n in sides.items()}


def shared_prefixes(r: Generator) -> Values:
    """Groups of a prefix and answers to it, one group behind the other."""
    v = square(r)
    rows = []
    for _ in range(v["B"]):
        offsets = cuts(r, v["N"], 10)
        prefix, at = np.zeros((2, len(offsets) - 1), np.int64), 0
        for doc in range(len(offsets) - 1):
            if doc == 0 or r.random() < 0.3:
                at, prefix[:, doc] = doc, offsets[doc]
            else:
                prefix[:, doc] = offsets[at], offsets[at + 1]
        rows.append([spread(offsets, part) for part in (offsets[:-1], *prefix)])
    return v | dict(zip(("start", "prefix_start", "prefix_end"), np.stack(rows, axis=1), strict=True))


def questions(r: Generator) -> Values:
    """A question is seen until its document ends, an answer until the next one starts."""
    v = square(r)
    rows = []
    for _ in range(v["B"]):
        whole, end = cuts(r, v["N"], 4), np.zeros(v["N"], np.int64)
        for start, stop in pairwise(whole):
            inner = cuts(r, int(stop - start), 5) + start
            end[start:stop] = spread(inner, inner[1:])
            end[start : inner[1]] = stop
        rows.append(end)
    return v | {"end": np.stack(rows)}


def column_intervals(r: Generator) -> Values:
    v = square(r)
    shape = v["B"], v["M"]
    start = r.integers(0, v["N"] + 1, shape)
    return v | {"start": start, "end": start + r.integers(0, 150, shape)}


def columns(r: Generator) -> Values:
    """Hidden rows below and above the diagonal, as FlashMask stores a mask of documents and a window."""
    v = documents(r)
    j = np.arange(v["M"])[None, :]
    ends = np.full((v["B"], v["M"]), v["N"])
    low, up = np.minimum(v["end"], j + v["window"]), np.maximum(v["start"], j - v["window"])
    found = {"low_start": low, "low_end": ends, "up_start": 0 * ends, "up_end": up}
    return {key: v[key] for key in "NMBH"} | found


def kept_tokens(r: Generator) -> Values:
    """Some of the tokens were dropped, other ones for each head and side; the rest knows where it came from."""
    n, m = length(r), length(r)
    v = sizes(n, m)

    def places(size: int) -> np.ndarray[Any, Any]:
        heads = [np.sort(r.choice(LONGEST, size, replace=False)) for _ in range(v["B"] * v["H"])]
        return np.stack(heads).reshape(v["B"], v["H"], size)

    return v | {"query_at": places(n), "key_at": places(m)}


def hashed_tokens(r: Generator) -> Values:
    """In order of hashes, and by place among those of one hash."""
    v, buckets = kept_tokens(r), int(r.integers(1, 9))
    for side in ("query", "key"):
        at = v[f"{side}_at"]
        of_token = np.sort(r.integers(0, buckets, at.shape), axis=-1)
        mixed = r.permuted(at, axis=-1)
        order = np.lexsort((mixed, of_token), axis=-1)
        v |= {f"{side}_hash": of_token, f"{side}_at": np.take_along_axis(mixed, order, axis=-1)}
    return v


def ordered_by_hash(r: Generator) -> Values:
    """Hash and place of a token in one number."""
    v = hashed_tokens(r)
    sides = {f"{side}_at": LONGEST * v[f"{side}_hash"] + v[f"{side}_at"] for side in ("query", "key")}
    return {key: v[key] for key in "NMBH"} | sides | {"length": LONGEST}


def scales(r: Generator) -> Values:
    side = range(1, int(r.integers(2, 11)))
    of = np.repeat(np.arange(len(side)), [n * n for n in side])
    return sizes(len(of), len(of)) | {"scale_of": of}


def images(r: Generator) -> Values:
    """Images between text: the number of each token's image, -1 for text, and the first key a query does not see."""
    v = square(r)
    n = v["N"]
    image, end = np.full((v["B"], n), -1), np.tile(np.arange(1, n + 1), (v["B"], 1))
    for b in range(v["B"]):
        at = count = 0
        while at < n:
            at += int(r.integers(0, 60))
            stop = min(at + int(r.integers(10, 80)), n)
            image[b, at:stop], end[b, at:stop] = count, stop
            at, count = stop, count + 1
    return v | {"image": image, "end": end}


def shown_images(r: Generator) -> Values:
    count, per_image, n = int(r.integers(1, 7)), int(r.choice([16, 50, 64])), length(r)
    starts = np.sort(r.integers(0, n + 1, count))
    stops = np.minimum(np.sort(starts + r.integers(0, n + 1, count)), n)
    v = sizes(n, count * per_image) | {"images": count, "per_image": per_image}
    return v | {"starts": starts, "stops": stops, "time": np.sort(r.integers(0, count + 1, (2, n)), axis=-1)}
