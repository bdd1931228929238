"""Masks that people use, with arguments to call them with.

`TIGHT` masks have a closed form that visits no tile without need and misses no full one, in both roles, for the
arguments that `usual` draws. `nasty` draws windows that are zero, negative or longer than everything, offsets that
leave the sequence, and sizes that differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from read_ir import parse_term

from attnc.ir import nodes as ir

SORTS = {
    "window": "int", "left": "int", "right": "int", "chunk": "int", "prefix": "int", "shared": "int", "offset": "int",
    "stride": "int", "period": "int", "per_frame": "int", "frames": "int", "on": "bool",
    "windows": "int", "offsets": "int", "lengths": "int", "global_head": "bool", "doc": "int", "valid": "bool",
    "start": "int", "temperature": "float",
}  # fmt: skip

TIGHT = {
    "full": "true",
    "causal": "j <= i",
    "anticausal": "i <= j",
    "strict_causal": "j < i",
    "causal_aligned_at_the_end": "j <= i + (M - N)",
    "causal_offset": "j <= i + offset",
    "causal_batch_offset": "j <= i + offsets[b]",
    "sliding_window": "j <= i and i - j < window",
    "sliding_window_chained": "i - window < j and j <= i",
    "head_window": "j <= i and i - j < windows[h]",
    "bidirectional_window": "abs(i - j) <= window",
    "lopsided_window": "-1 * left <= j - i and j - i <= right",
    "sink_and_window": "j <= i and (j < 4 or i - j < window)",
    "shared_and_window": "(j < shared or i - j < window) and j <= i",
    "prefix_lm": "j < prefix or j <= i",
    "batch_prefix_lm": "j < lengths[b] or j <= i",
    "padded_causal": "j < lengths[b] and j <= i",
    "longformer": "abs(i - j) <= window or i < shared or j < shared",
    "local_blocks": "i // chunk == j // chunk",
    "constant_local_blocks": "i // 5 == j // 5",
    "block_causal": "j // chunk <= i // chunk",
    "chunked_causal": "j <= i and i // chunk == j // chunk",
    "causal_with_previous_chunk": "j <= i and i // chunk - 1 <= j // chunk",
    "shifted_blocks": "(i + chunk // 2) // chunk == (j + chunk // 2) // chunk",
    "chunk_start_by_remainder": "i - i % chunk <= j and j <= i",
    "frame_causal": "j // per_frame <= i // per_frame and i // per_frame - frames < j // per_frame",
    "some_heads_global": "j <= i and (h < 1 or i - j < window)",
    "flagged_heads_global": "j <= i and (global_head[h] or i - j < window)",
    "switch": "j <= i if on else abs(i - j) <= window",
    "no_window_below_zero": "j <= i and (window < 0 or i - j <= window)",
    "no_window_at_zero": "j <= i and (window == 0 or i - j < window)",
    "first_queries_or_first_keys": "i < 5 or j < 3",
    "not_the_same": "i != j",
    "only_the_same": "i == j",
    "negated": "not (i < j or window <= i - j)",
    "clamped_start": "max(i - window, prefix) <= j and j <= i",
    "last_queries_see_all": "N - 3 <= i or j <= i",
    "compressed_keys": "j * 4 + 3 <= i",
    "compressed_queries": "j <= i * 4 + 3",
    "strided_keys": "j * stride <= i",
    "few_keys_of_some_heads": "h < 2 and j < 3 and j <= i",
    "some_heads_see_more": "h < 1 and j < 3 or j == i",
    "two_kinds_of_heads": "h < 1 and j <= i or 1 <= h and on and j == i",
    "empty": "i < j and j < i",
}

# Tight but for a few full tiles, in which some pairs are seen for one reason and some for another.
NEARLY_TIGHT = {name: TIGHT.pop(name) for name in ("sink_and_window", "shared_and_window", "longformer")}

# Sound, and wider than need be: what has no closed form yet, or none that is tight.
LOOSE = {
    "documents": "doc[i] == doc[j] and j <= i",
    "documents_alone": "doc[i] == doc[j]",
    "valid_keys": "valid[j] and j <= i",
    "valid_queries": "valid[i] and j <= i",
    "valid_or_causal": "valid[j] or j <= i",
    "starts": "start[i] <= j and j <= i",
    "dilated": "(i - j) % period == 0 and j <= i",
    "strided_sparse": "j <= i and (i - j < window or (i - j) % period == 0)",
    "sink_every": "j <= i and i - j < window or j % period == 0",
    "grid": "abs(i // chunk - j // chunk) <= 1 and abs(i % chunk - j % chunk) <= 1",
    "shifted_grid": "abs((i - offset) // chunk - (j - offset) // chunk) <= 1"
    " and abs((i - offset) % chunk - (j - offset) % chunk) < window",
    "grid_below": "(j - offset) // chunk <= (i - offset) // chunk and (j - offset) % chunk == (i - offset) % chunk",
    "grid_ahead": "(i + prefix) // chunk <= (j + prefix) // chunk and (j + prefix) % chunk <= (i + prefix) % chunk",
    "two_lengths": "i // (chunk * per_frame) == j // (chunk * per_frame) and j % chunk <= i % chunk",
    "rows_of_tiles": "i // stride // chunk == j // stride // chunk and i // stride % chunk <= j // stride % chunk",
    "row_or_column": "j <= i and (i // chunk == j // chunk or i % chunk == j % chunk)",
    "ends_of_chunks": "j <= i and (i // chunk == j // chunk or chunk - window <= j % chunk)",
    "places_by_head": "(i % chunk + windows[h]) // 2 == (j % chunk + windows[h]) // 2 and i // chunk == j // chunk + 1",
    "powers": "j <= i and ispow2(i - j)",
    "real_distance": "real(i - j) < temperature",
    "floored_distance": "i - j < floor(real(window) * 0.5)",
    "neighborhood": "min(max(i - window // 2, 0), N - window) <= j"
    " and j < min(max(i - window // 2, 0), N - window) + window",
    "guarded_division": "period == 0 or i // period == j // period",
    "remainder_staircase": "j <= i % chunk",
    "wave": "abs(j - i % chunk) <= window",
    "strided_queries": "j <= i * stride",
    "strided_by_head": "j * h <= i",
    "stretched_by_head": "i <= j * h",
    "latest": "j <= max(i - window, start[i])",
    "earliest": "min(i - window, start[i]) <= j",
    "valid_sinks_and_window": "valid[j] and j < 3 or i - window <= j and j < i - 2",
    "head_chunks": "i // windows[h] == j // windows[h]",
    "crossed": "j <= i and 10 - i <= j or j < window and i < window",
}

ALL = TIGHT | NEARLY_TIGHT | LOOSE


@dataclass(frozen=True)
class Call:
    """Sizes and arguments, by name."""

    values: dict[str, Any]

    def __repr__(self) -> str:
        return repr(
            {name: value for name, value in self.values.items() if name not in ("doc", "valid", "start")}
        )


def mask_of(text: str) -> ir.Bool:
    term = parse_term(text, SORTS)
    assert isinstance(term, ir.Bool)
    return term


def attention_of(mask: ir.Bool | str, params: tuple[ir.Param, ...] = ()) -> ir.Attention:
    """An attention with this mask and nothing else of note; arrays that no parameter declares are in no order."""
    term = mask_of(mask) if isinstance(mask, str) else mask
    score = ir.Dot(ir.VecInput("q"), ir.VecInput("k"))
    vectors = [ir.VecInput(name) for name in ("q", "k", "v")]
    return ir.Attention("zoo", params, *vectors, term, score, ir.Score(), ir.VecInput("o"))


def usual(random: Random) -> Call:
    n = random.randint(1, 44)
    m = n if random.random() < 0.5 else random.randint(1, 44)
    return _call(random, n, m, low=1, high=random.choice([3, 10, 30]))


def nasty(random: Random) -> Call:
    n, m = random.randint(1, 24), random.randint(1, 24)
    low, high = random.choice([(-5, 5), (0, 1), (-40, 60), (1000, 10**7), (-(10**7), -1000)])
    return _call(random, n, m, low, high)


def _call(random: Random, n: int, m: int, low: int, high: int) -> Call:
    def number() -> int:
        return random.randint(low, high)

    entries = max(n, m)
    return Call(
        {
            "N": n, "M": m, "B": 2, "H": 3,
            "window": number(), "left": number(), "right": number(), "prefix": number(), "shared": number(),
            "offset": number() - high // 2, "frames": number(),
            "chunk": max(number(), 1), "per_frame": max(number(), 1), "stride": number(), "period": max(number(), 1),
            "on": random.random() < 0.5, "temperature": random.choice([-3.5, 0.0, 4.25, 1e9]),
            "windows": [number() or 1 for _ in range(3)], "offsets": [number() - high // 2 for _ in range(2)],
            "lengths": [number() for _ in range(2)], "global_head": [random.random() < 0.5 for _ in range(3)],
            "doc": sorted(random.randint(0, 4) for _ in range(entries)),
            "valid": [random.random() < 0.5 for _ in range(entries)],
            "start": [random.randint(-3, entries) for _ in range(entries)],
        }
    )  # fmt: skip
