"""Specs that stress what is emitted, each with what its parameters may be.

`numbers` fixes scalars, `entries` the range of an int array; what is not fixed is chosen by `attnc.verify`. `square` asks
for as many keys as queries where the reading of arrays does not show it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spec:
    text: str
    numbers: tuple[tuple[str, int | float | bool], ...] = ()
    entries: tuple[tuple[str, int, int], ...] = ()
    square: bool = False


def spec(params: str, *clauses: str, above: str = "", square: bool = False, **values: object) -> Spec:
    """A spec named `zoo`; a value that is a pair is the range of an int array."""
    text = f"{above}\nattention zoo({params}):\n" + "".join(f"    {clause}\n" for clause in clauses)
    if not clauses:
        text += "    mask true\n"
    numbers = tuple((n, v) for n, v in values.items() if not isinstance(v, tuple))
    entries = tuple((n, *v) for n, v in values.items() if isinstance(v, tuple))
    return Spec(text, numbers, entries, square)  # type: ignore[arg-type]


def score(term: str, params: str = "", mask: str = "true", **values: object) -> Spec:
    return spec(params, f"mask {mask}", f"score {term}", **values)  # type: ignore[arg-type]


def mask(term: str, params: str = "", **values: object) -> Spec:
    return spec(params, f"mask {term}", **values)  # type: ignore[arg-type]


DOT = "dot(q, k) * scale"

BIASES = {
    "bias_bhnm": score(f"{DOT} + bias[b, h, i, j]", "bias: float[B, H, N, M]", "j <= i"),
    "bias_hnm": score(f"{DOT} + bias[h, i, j]", "bias: float[H, N, M]"),
    "bias_nm": score(f"{DOT} + bias[i, j]", "bias: float[N, M]"),
    "bias_h": score(f"{DOT} + bias[h]", "bias: float[H]"),
    "bias_b": score(f"{DOT} * bias[b]", "bias: float[B]"),
    "bias_1": score(f"{DOT} + j * bias[0]", "bias: float[1]"),
    "bias_transposed": score(f"{DOT} + bias[j, h]", "bias: float[M, H]"),
    "bias_transposed_pairs": score(f"{DOT} + bias[j, i, h]", "bias: float[M, N, H]"),
    "bias_by_two_heads": score(f"{DOT} + bias[h // 2, j]", "bias: float[H, M]", "j <= i"),
    "bias_column": score(f"{DOT} + bias[b, h, j]", "bias: float[B, H, M]", "j <= i"),
    "bias_row": score(f"{DOT} * heat[b, i]", "heat: float[B, N]"),
    "bias_row_and_column": score(f"{DOT} + u[h, i] * w[h, j]", "u: float[H, N], w: float[H, M]"),
    "bias_twice": spec("bias: float[N]", "mask j <= i", f"score {DOT} + bias[i] - bias[j]", square=True),
    "bias_thrice": spec(
        "t: float[H, 40]", f"score {DOT} + t[h, (i - j) % 40] + t[h, (i + j) % 40] * t[h, j % 40]"
    ),
    "bias_same_twice": score(f"{DOT} + bias[h, i, j] ** 2 + sin(bias[h, i, j])", "bias: float[H, N, M]"),
    "bias_table": score(f"{DOT} + t[h, clamp(j - i, -9, 9) + 9]", "t: float[H, 19]"),
    "bias_indirect": score(f"{DOT} + t[h, kind[b, j]]", "t: float[H, 5], kind: int[B, M]", kind=(0, 5)),
    "bias_indirect_pair": score(
        f"{DOT} + t[row[i], column[j]]",
        "t: float[4, 6], row: int[N], column: int[M]",
        row=(0, 4),
        column=(0, 6),
    ),
    "bias_where_masked_out_of_range": score(f"{DOT} + t[i - j]", "t: float[8]", "j <= i and i - j < 8"),
    "bias_in_a_branch": score(
        f"({DOT} + t[h, i - j]) if i - j >= 0 and i - j < 5 else 0.5", "t: float[H, 5]"
    ),
    "bias_blocks": score(f"{DOT} + t[h, i // 16, j // 16]", "t: float[H, N // 16 + 1, M // 16 + 1]"),
    "bias_by_parameter": score(
        f"{DOT} + t[h, min(abs(i - j), reach - 1)]", "t: float[H, reach], reach: int = 7"
    ),
    "bias_some_strides": score(
        f"{DOT} + t[h, 0] + t[0, 1] + u[0, j % 3] + w[2, h, 0, j % 2]",
        "t: float[H, 2], u: float[2, 3], w: float[3, H, 2, 2]",
    ),
    "temperature": score("dot(q, k) / (1 + abs(t[h]))", "t: float[H]"),
    "gate_of_dot": score(f"{DOT} * sigmoid(t[h, i]) + relu(t[h, i])", "t: float[H, N]"),
}

MASKS = {
    "unsorted_documents": mask("doc[b, i] == doc[b, j]", "doc: int[B, N]", doc=(0, 4)),
    "implied_by_a_neighbor": mask(
        "(doc[b, i] == doc[b, j] or fl[j]) and fl[j]", "doc: int[B, N + M], fl: bool[M]", doc=(0, 4)
    ),
    "implied_by_a_neighbor_by_head": mask(
        "(at[h] == j or fl[j]) and fl[j]", "at: int[H], fl: bool[M]", at=(0, 9)
    ),
    "quotient_of_numbers": mask("i // t % (w // t) <= 1", "w: int, t: int", w=6, t=3),
    "head_window": mask("j <= i and i - j < window[h]", "window: int[H]", window=(0, 60)),
    "batch_offset": mask("j <= i + offset[b]", "offset: int[B]", offset=(-30, 30)),
    "padding": mask("j < length[b]", "length: int[B]", length=(0, 60)),
    "union": mask(
        "j < sinks or (j <= i and i - j < window) or i < 3", "sinks: int, window: int", sinks=4, window=9
    ),
    "strips_by_token": mask(
        "c[b, i] <= j % 64 and j % 64 <= 63 - abs(d[b, i]) or j % 64 == 0",
        "c: int[B, N], d: int[B, N]",
        c=(100, 120),
        d=(-120, 120),
    ),
    "three_pieces": mask("j < 5 or abs(i - j) < 6 or j >= M - 4"),
    "overlapping_pieces": mask("(i - j < 30 and j <= i) or (i - j < 50 and i - j >= 20)"),
    "conditional": mask("j <= i if on else abs(i - j) <= w", "on: bool, w: int", w=11),
    "conditional_without_keys": mask("ispow2(w if on else j)", "on: bool, w: int", w=8),
    "conditional_without_queries": mask("ispow2(w if on else i) or i == j", "on: bool, w: int", w=9),
    "conditional_by_head": mask("j <= i if h % 2 == 0 else i <= j"),
    "negative_floor": mask("(i - j) // 7 <= 1 and (j - i) // 5 < 2"),
    "negative_modulo": mask("(i - j) % 3 != 1 and (j - 2 * i) % 5 < 4"),
    "negative_divisor": mask("(i - j) // -7 <= 1 and (j - i) % -4 > -3"),
    "modulo_by_parameter": mask("(i - j) % period == 0 or i == j", "period: int", period=3),
    "divided_by_parameter": mask("i // chunk == j // chunk", "chunk: int", chunk=10),
    "ispow2": mask("ispow2(i - j) or i == j"),
    "member": mask("j // 16 in table[b, h, i // 16, :]", "table: int[B, H, N // 16 + 1, 3]", table=(-2, 6)),
    "member_of_row": mask("j in picked[h, :]", "picked: int[H, 5]", picked=(-3, 40)),
    "member_below_zero": mask("j - 9 in picked[h, :]", "picked: int[H, 5]", picked=(-9, 25)),
    "not_member": mask("not (j in picked[:])", "picked: int[4]", picked=(0, 20)),
    "bool_array": mask("seen[b, j] and j <= i", "seen: bool[B, M]"),
    "bool_pairs": mask("seen[i, j] or i == j", "seen: bool[N, M]"),
    "bool_rows": mask("not seen[h, i] or j < 3", "seen: bool[H, N]"),
    "bool_parameter": mask("on or j <= i", "on: bool"),
    "bool_parameters": mask("(on and not off) or j <= i", "on: bool, off: bool"),
    "real_comparison": mask("(i - j) * 0.3 < far and j <= i", "far: float", far=3.35),
    "real_array_comparison": mask("t[h, j] < 0.2 or i == j", "t: float[H, M]"),
    "real_by_head": mask("i - j < 2.0 ** (h + 2) + 0.5 and j <= i"),
    "floor_in_mask": mask("j <= floor(i * 0.37 + 1)"),
    "true": mask("true"),
    "false": mask("false"),
    "false_by_parameter": mask("on", "on: bool", on=False),
    "empty_rows": mask("j <= i - 5"),
    "empty_columns": mask("j > i + 40 or j < 3"),
    "strict": mask("j < i"),
    "only_itself": mask("i == j"),
    "all_but_itself": mask("i != j"),
    "lengths": mask("j <= i + (M - N)"),
    "clamped": mask("clamp(i - 5, 0, M - 11) <= j and j < clamp(i - 5, 0, M - 11) + 11"),
    "two_d": spec("", "grid y: rows, x: cols", "mask abs(i.y - j.y) <= 2 and abs(i.x - j.x) <= 1"),
    "two_d_neighborhood": spec(
        "wy: const int = 3, wx: const int = 5",
        "grid y: rows, x: cols",
        "mask near(i.y, j.y, wy, rows) and near(i.x, j.x, wx, cols)",
        above="from std import near",
    ),
    "chunks_of_some_heads": mask("h < n and i // c == j // c", "n: int, c: int", n=1, c=11),
    "chunks_of_no_heads": mask("i == j or h < n and i // c == j // c", "n: int, c: int", n=0, c=0),
    "chunks_switched_off": mask("j <= i and (c < 1 or i // c == j // c)", "c: int", c=-1),
    "chunks_by_head": mask("i // c[h] == j // c[h]", "c: int[H]", c=(3, 40)),
    "stripes_by_head": spec(
        "", "grid y: rows, x: cols", "mask i.y == j.y if h % 2 == 0 else abs(i.x - j.x) <= 1"
    ),
    "half_of_the_heads_shifted": spec(
        "group: int",
        "let p = i if h < H // 2 else (i - group // 2) % N",
        "let r = j if h < H // 2 else (j - group // 2) % N",
        "mask p // group == r // group and r <= p",
        square=True,
        group=20,
    ),
    "half_a_window": mask("abs(i - j) < w / 2 and j * 0.5 <= i + 0.25", "w: int", w=15),
    "dilated_window": mask("abs(i - j) <= w and abs(i - j) % d == 0", "w: int, d: int", w=40, d=3),
    "dilated_further_than_a_tile": mask("abs(i - j) <= w and (i - j) % d == 0", "w: int, d: int", w=90, d=45),
    "strided": mask("j <= i and (i - j < w or (i - j) % d == 0)", "w: int, d: int", w=9, d=37),
    "sink_of_every_chunk": mask("j <= i and i - j < w or j % c == 0", "w: int, c: int", w=5, c=40),
    "end_of_every_chunk": mask("j <= i and (i // c == j // c or j % c >= c - 3)", "c: int", c=17),
    "same_row_or_column": mask("i // c == j // c or i % c == j % c", "c: int", c=23),
    "same_column_behind_a_prefix": mask(
        "i < p or j < p or abs((i - p) % c - (j - p) % c) < w", "p: int, c: int, w: int", p=9, c=50, w=6
    ),
    "tiles_then_text": spec(
        "rows: int, cols: int, tile: int",
        "let ti = i // tile",
        "let tj = j // tile",
        "let local = near(ti // cols, tj // cols, 3, rows) and near(ti % cols, tj % cols, 2, cols)",
        "mask local or i >= rows * cols * tile or j >= rows * cols * tile",
        above="from std import near",
        rows=4,
        cols=3,
        tile=7,
    ),
    "tiles_then_text_in_sight": spec(
        "rows: int, cols: int, tile: int",
        "let ti = i // tile",
        "let tj = j // tile",
        "let local = near(ti // cols, tj // cols, 3, rows) and near(ti % cols, tj % cols, 2, cols)",
        "mask local or i >= rows * cols * tile or j >= rows * cols * tile",
        above="from std import near",
        rows=4,
        cols=3,
        tile=2,
    ),
    "shifted_by_head": mask(
        "(i // c + shift[h]) // 2 == (j // c + shift[h]) // 2 and (i % c + shift[h]) // 5 == (j % c + shift[h]) // 5",
        "c: int, shift: int[H]",
        c=13,
        shift=(0, 4),
    ),
    "causal_in_two_dimensions": mask(
        "j <= i and abs(i // c - j // c) <= 2 and abs(i % c - j % c) <= 3", "c: int", c=70
    ),
    "indirect_bound": mask("start[b, i] <= j and j <= i", "start: int[B, N]", start=(0, 50)),
    "computed_bound": mask("j < table[i % 4]", "table: int[4]", table=(0, 60)),
    "chain": mask("i - 20 < j <= i"),
    "sorted_documents": spec("doc: sorted int[B, N]", "mask doc[b, i] == doc[b, j] and j <= i", doc=(0, 5)),
    "sorted_documents_both_ways": mask(
        "doc[b, i] == doc[b, j] and abs(i - j) < 20", "doc: sorted int[B, N]", square=True, doc=(0, 5)
    ),
    "sorted_documents_by_head": mask(
        "doc[h % 2, i] == doc[h % 2, j]", "doc: sorted int[2, N]", square=True, doc=(0, 5)
    ),
    "sorted_keys_of_cut_queries": mask(
        "line[i] == doc[b, j]", "line: int[N], doc: sorted int[B, M]", line=(0, 6), doc=(0, 6)
    ),
    "sorted_for_a_number": mask(
        "at <= doc[b, j] and doc[b, j] < at + 2", "doc: sorted int[B, M], at: int", doc=(0, 6), at=2
    ),
    "sorted_for_a_head": mask("doc[j] >= h", "doc: sorted int[M]", doc=(0, 3)),
    "offsets": mask(
        "offsets[doc[i]] <= j and j < offsets[doc[i] + 1]",
        "doc: sorted int[N], offsets: sorted int[9]",
        doc=(0, 8),
        offsets=(0, 45),
    ),
    "row_bounds": mask(
        "start[b, i] <= j and j < end[h, i]", "start: int[B, N], end: int[H, N]", start=(0, 20), end=(10, 50)
    ),
    "row_bound_in_a_sum": mask("j < end[i] + i // 3 - 4", "end: int[N]", end=(0, 30)),
    "row_bound_by_choice": mask("j < (end[i] if i % 2 == 0 else i)", "end: int[N]", end=(0, 30)),
    "sorted_starts": mask("doc[i] <= j and j <= i", "doc: sorted int[N]", doc=(0, 60)),
    "int_abs_min_max": mask("min(abs(i - j), max(i, j) // 2) <= 6"),
    "conditional_int": mask("j < (i + 1 if i % 2 == 0 else i // 2 + 1)"),
}

SCORES = {
    "relu": score("relu(dot(q, k)) * scale"),
    "abs": score("abs(dot(q, k) * scale)"),
    "softplus": score(f"softplus({DOT})"),
    "silu": score(f"silu({DOT})"),
    "sigmoid": score(f"3 * sigmoid({DOT})"),
    "tanh": score(f"cap * tanh({DOT} / cap)", "cap: float = 3.0"),
    "log": score(f"log(1 + ({DOT}) ** 2)"),
    "log_masked": score(f"{DOT} - log(i - j)", mask="j < i"),
    "sqrt": score(f"sqrt(1.5 + abs({DOT}))"),
    "exp": score(f"exp({DOT} / 2)"),
    "sin_cos": score(f"2 * sin({DOT}) + cos(3 * {DOT})"),
    "power": score(f"(1.5 + abs({DOT})) ** 1.5"),
    "cube": score(f"({DOT}) ** 3 / 9"),
    "square": score(f"({DOT}) ** 2 / 3"),
    "learned_square": score("dot(q, k) * scale + w[h] * (dot(q, k) * scale) ** 2", "w: float[H]"),
    "learned_softplus": score("softplus(dot(q, k) * scale * w[h])", "w: float[H]"),
    "learned_cosine": score(
        "w[h] * dot(q, k) / ((1 + u[b, h, i] ** 2) * (1 + t[b, h, j] ** 2))",
        "w: float[H], u: float[B, H, N], t: float[B, H, M]",
    ),
    "capped_bias_over_temperature": score(
        "cap * tanh((dot(q, k) * scale + bias[h, i, j]) / (cap * (1 + abs(heat[b, i]))))",
        "bias: float[H, N, M], heat: float[B, N], cap: float = 2.0",
        "j <= i",
    ),
    "gated_by_distance": score(
        "dot(q, k) * scale * exp(-(abs(w[h]) * abs(i - j))) + u[h] * log(1 + abs(i - j))",
        "w: float[H], u: float[H]",
    ),
    "power_of_parameter": score(f"{DOT} * gamma ** (i - j)", "gamma: float", "j <= i", gamma=0.93),
    "power_of_array": score(f"{DOT} * abs(gamma[h]) ** (i - j)", "gamma: float[H]", "j <= i"),
    "power_negative_base": score(f"{DOT} + (-0.9) ** (i - j)", mask="j <= i"),
    "power_of_two": score(f"{DOT} - 2 ** (-(h + 1)) * (i - j)", mask="j <= i"),
    "min_max": score(f"max(min({DOT}, 1.0), -0.5)"),
    "clamp": score(f"clamp({DOT}, -0.7, 0.7) * 3"),
    "if_by_place": score(f"{DOT} if i - j < 9 else {DOT} * 0.5 - 1"),
    "if_by_value": score(f"{DOT} if dot(q, k) > 0 else 0.1 * dot(q, k)"),
    "if_by_parameter": score(f"{DOT} if on else dot(q, k) * 0.3", "on: bool"),
    "division": score(f"{DOT} / (1 + abs(i - j))"),
    "division_masked": score(f"{DOT} / (i - j)", mask="j < i"),
    "division_by_dot": score("1 / (2 + dot(q, k) ** 2)"),
    "division_array": score(f"{DOT} / (2 + t[h, j])", "t: float[H, M]"),
    "no_dot": score("bias[h, i, j]", "bias: float[H, N, M]", "j <= i"),
    "no_dot_position": score("0.1 * (j - i)", mask="j <= i"),
    "no_dot_column": score("bias[b, j]", "bias: float[B, M]"),
    "no_dot_row": score("heat[b, i]", "heat: float[B, N]", "j <= i"),
    "no_dot_row_and_column": score("heat[b, i] * w[h, j]", "heat: float[B, N], w: float[H, M]"),
    "no_dot_head": score("heat[h]", "heat: float[H]"),
    "constant": score("1.5"),
    "only_scale": score("scale"),
    "negated": score("-dot(q, k) * scale - 1"),
    "no_scale": score("dot(q, k) / D"),
    "sizes": score(f"{DOT} * log(M) / log(512) + h / H + b / B"),
    "distance": score("-sum_d(q * q) * scale + 2 * dot(q, k) * scale - sum_d(k * k) * scale"),
    "sum_of_query": score(f"{DOT} + sum_d(q)"),
    "sum_of_key": score(f"{DOT} * sigmoid(sum_d(k * k) * scale)"),
    "let": spec("cap: float = 2.0", f"let x = {DOT}", "let y = x * x", "score cap * tanh((x + y) / cap)"),
    "let_of_int": spec(
        "t: float[H, 9]", "let d = clamp(j - i, -4, 4) + 4", "mask d > 0", f"score {DOT} + t[h, d]"
    ),
    "negative_power": score(f"(1.2 + abs({DOT})) ** -2"),
    "large": score("dot(q, k) * 40"),
    "far_below": score("dot(q, k) * scale - 200"),
    "far_above": score("dot(q, k) * scale + 5 * i"),
    "deep": score(f"sigmoid(tanh({DOT}) * 2 + relu({DOT}) - softplus({DOT})) * 4"),
    "int_to_real": score(f"{DOT} + (i // 3 - j % 4) * 0.2"),
    "floor_of_log": score(f"{DOT} + t[floor(log(1 + abs(i - j)) * 1.7)]", "t: float[16]"),
    "floor_of_sums": score(
        f"{DOT} + t[floor(log(1 + abs((j + a) - (i + c))) * 1.7)]", "t: float[16], a: int, c: int", a=-3, c=2
    ),
    "floor_by_query_but_for_distance_0": score(
        f"{DOT} + t[(1 if j - i == 0 else floor(0.3 * i)) % 5]", "t: float[5]"
    ),
    "floor_of_a_product": score(
        f"{DOT} + t[floor(abs(j - i) / 3 * 7 / s_) % 16]", "t: float[16], s_: float", s_=0.7
    ),
    "floor_by_key": score(f"{DOT} + t[floor(sqrt(j))]", "t: float[16]"),
    "const_parameter": score(f"{DOT} * c + t[(i + j) % w]", "c: const float, w: const int, t: float[w]", w=5),
    "chosen_number": score(f"{DOT} - (c if fl[j] else 0)", "c: float, fl: bool[M]", c=0.1),
    "const_bool": score(f"{DOT} if on else 0.0", "on: const bool"),
}

# Integers of a pair as reals, and what is the same for every key of a row: softmax loses it, the log-sum-exp does not.
DISTANCES = {
    "slope": score(f"{DOT} - t[h] * (i - j)", "t: float[H]", "j <= i"),
    "slope_ahead": score(f"{DOT} + t[h] * (j - i)", "t: float[H]"),
    "slope_both_ways": score(f"{DOT} - t[h] * abs(i - j)", "t: float[H]"),
    "slope_of_row": score(f"{DOT} + t[h, i] * (i - j)", "t: float[H, N]"),
    "slope_of_column": score(f"{DOT} + t[h, j] * (j - i) * 0.3", "t: float[H, M]", "j <= i"),
    "slope_of_parameter": score(f"{DOT} - c * (i - j)", "c: float", "j <= i", c=0.17),
    "slope_up_to": score(f"{DOT} - t[h] * min(abs(i - j), reach)", "t: float[H], reach: int", reach=9),
    "slope_clamped": score(f"{DOT} - t[h] * clamp(j - i, -7, 5)", "t: float[H]"),
    "slope_of_places": spec(
        "at: int[B, N], t: float[H]", f"score {DOT} - t[h] * (at[b, i] - at[b, j])", at=(-40, 90)
    ),
    "slope_of_place": score(f"{DOT} - t[h] * (at[i] - j)", "at: int[N], t: float[H]", at=(0, 60)),
    "slope_of_lengths": score(f"{DOT} - t[h] * (i + (M - N) - j)", "t: float[H]", "j <= i + (M - N)"),
    "slope_offset": score(f"{DOT} - t[h] * (i - j + c)", "t: float[H], c: int", c=-7),
    "slope_of_steps": score(f"{DOT} - t[h] * abs(3 * i - 2 * j) * 0.1", "t: float[H]"),
    "slope_of_blocks": score(f"{DOT} - t[h] * (i // 4 - j)", "t: float[H]"),
    "slope_of_phase": score(f"{DOT} - t[h] * (i - j % 5) * 0.1", "t: float[H]", "j <= i"),
    "slope_of_pairs": score(f"{DOT} - t[h, (i + j) % 7] * (i - j % 5) * 0.1", "t: float[H, 7]"),
    "slope_of_sum": score(f"{DOT} - t[h] * (i + j) * 0.1", "t: float[H]"),
    "slope_squared": score(f"{DOT} - (t[h] * (i - j)) ** 2 * 0.01", "t: float[H]"),
    "slope_of_let": spec(
        "t: float[H]", "let d = i - j", "mask d >= 0 and d * 0.3 < 5.2", f"score {DOT} - t[h] * d + 0.1 * d"
    ),
    "slope_in_weights": spec("t: float[H]", f"score {DOT} - t[h] * (i - j)", "normalize relu(s) / count()"),
    "slope_with_sink": spec(
        "t: float[H], z: float[H]",
        "mask j <= i",
        f"score {DOT} - t[h] * (i - j)",
        "normalize exp(s) / (exp(z[h]) + sum(exp(s)))",
    ),
    "row_only": score(f"{DOT} + t[h, i]", "t: float[H, N]", "j <= i"),
    "row_only_slope": score(f"{DOT} + t[h] * i - 0.7 * u[b, i]", "t: float[H], u: float[B, N]", "j < i"),
    "row_and_column": score(f"{DOT} + t[h, i] - u[h, j] + 2", "t: float[H, N], u: float[H, M]"),
    "row_only_with_sink": spec(
        "t: float[H, N]", f"score {DOT} + t[h, i]", "normalize exp(s) / (1 + sum(exp(s)))"
    ),
    "row_only_in_weights": spec("t: float[H, N]", f"score {DOT} + t[h, i]", "normalize relu(s) ** 2"),
}

TOKENS = {
    "query_l2": spec("", "query l2(q)", "key l2(k)", "score dot(q, k) * 4"),
    "query_scaled": spec("", "query q * 0.5 + 0.1", "key relu(k)"),
    "query_gate": spec("gate: float[B, H, N, D]", "query q * sigmoid(gate[b, h, i, :])"),
    "query_by_head": spec("w: float[H, D]", "query q * w[h, :]"),
    "query_by_head_number": spec("w: float[H]", "query q * w[h]"),
    "query_row_number": spec("w: float[B, N]", "query q * w[b, i]"),
    "key_by_head": spec("w: float[H, D]", "key k * w[h, :]"),
    "key_by_key_head": spec(
        "w: float[HKV, M, D], u: float[HKV]", "key k * w[h_kv, j, :]", "value v * u[h_kv]"
    ),
    "key_heads_behind_key_by_head": spec(
        "w: float[H], u: float[HKV], n: int[HKV]",
        "key k * w[h]",
        "mask i - j < n[h_kv] or j % HKV == 0",
        f"score {DOT} * HKV * u[h_kv]",
        "output o * HKV",
        n=(1, 20),
    ),
    "key_heads_of_passes": spec(
        "w: float[H], u: float[HKV]",
        "value v * w[h]",
        "mask j % HKV == 0",
        "normalize sigmoid(s - max(s)) * HKV / (1 + sum(relu(s) * u[h_kv]))",
    ),
    "key_column_number": spec("w: float[B, M]", "key k * w[b, j]"),
    "key_indirect": spec("w: float[7, D], kind: int[M]", "key k + w[kind[j], :]", kind=(0, 7)),
    "key_if": spec("", "key k if j % 2 == 0 else 0.5 * k"),
    "query_if_parameter": spec("on: bool", "query q if on else l2(q)"),
    "value_gate": spec("gate: float[B, H, M, DV]", "value gate[b, h, j, :] * v"),
    "value_functions": spec("", "value silu(v) + 0.1 * tanh(v)", "mask j <= i"),
    "clamped": spec(
        "w: float[H]", "query clamp(q, -1, 1)", "key min(k, 0.6)", "value max(-0.5, v)", "output min(o, w[h])"
    ),
    "clamped_by_head": spec(
        "w: float[H], n: int", "query max(w[h], q)", "key min(k, n)", "value clamp(v, -n, w[h])", n=1
    ),
    "length_by_hand": spec(
        "", "query q / sum_d(exp(q))", "value v * sum_d(v)", "output o / sqrt(0.1 + sum_d(o * o))"
    ),
    "length_of_a_choice": spec(
        "", "mask j < i", "key k / (1 + dot(k, k)) if j % 2 == 0 else k", "output o * sum_d(v_i)"
    ),
    "value_by_head": spec("u: float[H]", "value v * u[h]"),
    "output_gate": spec("gate: float[B, H, N, DV]", "output o * sigmoid(gate[b, h, i, :])"),
    "output_gate_empty_rows": spec(
        "gate: float[B, H, N, DV]", "mask j < i", "output o * sigmoid(gate[b, h, i, :]) + 1"
    ),
    "output_mixed": spec("u: float[H]", "mask j <= i", "output (1 - u[h]) * o + u[h] * v_i"),
    "output_mapped_value": spec("", "value relu(v)", "mask j < i", "output o - v_i"),
    "output_l2": spec("", "output l2(o)"),
    "rope": spec("", "query rope(q, i, 10000.0)", "key rope(k, j, 10000.0)", "mask j <= i"),
    "rope_parameters": spec(
        "theta: float, shift: int",
        "query rope(q, i + shift, theta)",
        "key rope(k, j, theta)",
        theta=500.0,
        shift=3,
    ),
    "rope_far": spec("", "query rope(q, i + 3000, 10000.0)", "key rope(k, j + 3000, 10000.0)"),
    "rope_table": spec("place: int[B, N]", "query rope(q, place[b, i], 100.0)", place=(0, 90)),
    "rope_in_score": score("dot(rope(q, i, 100.0), rope(k, j, 100.0)) * scale + dot(q, k) * 0.1"),
    "condition_of_keys": mask("j <= i and sum_d(f[j, :]) > 0.1", "f: float[M, 9]"),
    "condition_of_pairs": mask(
        "dot(a[b, h, i, :], c[b, h, j, :]) >= 0 and j <= i", "a: float[B, H, N, 8], c: float[B, H, M, 8]"
    ),
    "condition_of_a_batch_entry": mask("i - j < 9 and (j <= i or sum_d(f[b, :]) > 0)", "f: float[B, 9]"),
    "weight_of_a_key": spec(
        "f: float[H, M, 9]", "mask j <= i", "normalize relu(s) * sum_d(f[h, j, :] * f[h, j, :])"
    ),
    "two_dots": score("dot(q, k) * scale + dot(l2(q), l2(k)) * 2"),
    "dot_of_array": score(f"{DOT} + dot(q, e[h, j, :])", "e: float[H, M, D]"),
    "dot_of_arrays": score(
        f"{DOT} + dot(a[b, h, i, :], c[b, h, j, :])", "a: float[B, H, N, 8], c: float[B, H, M, 8]"
    ),
    "sum_of_arrays": score(
        f"{DOT} + sum_d(a[b, h, i, :] * c[b, h, j, :])", "a: float[B, H, N, 8], c: float[B, H, M, 8]"
    ),
    "sum_of_shared_vectors": score(
        "sum_d(q * k) * scale - sum_d(-(a[i, :] * w[h]) * k) + dot(l2(k) * u[b, j], l2(q) * (i - j) / 9)",
        "a: float[N, D], w: float[H], u: float[B, M]",
    ),
    "dot_shared_key": score(f"{DOT} + dot(a[i, :], k)", "a: float[N, D]"),
    "dots_of_many": score(
        f"{DOT} + dot(a[i, :], k) + dot(b_[i, :], k) * 0.5 + dot(q, c[j, :]) + dot(b_[i, :], c[j, :])",
        "a: float[N, D], b_: float[N, D], c: float[M, D]",
    ),
    "dots_of_two_widths": score(
        "dot(a[i, :], c[j, :]) * 0.3 + dot(e[i, :], f[j, :]) + dot(a[i, :], g[j, :])",
        "a: float[N, 24], c: float[M, 24], e: float[N, 8], f: float[M, 8], g: float[M, 24]",
    ),
    "dot_product_of_dots": score(
        "dot(q, k) * scale * sigmoid(dot(a[h, i, :], c[j, :]))", "a: float[H, N, 24], c: float[M, 24]"
    ),
    "dot_only_arrays": score("dot(a[h, i, :], c[h, j, :])", "a: float[H, N, 16], c: float[H, M, 16]"),
    "dot_of_a_query": score(f"{DOT} * (1 + 0.1 * dot(q, w[h, :]))", "w: float[H, D]"),
    "dot_of_a_key": score(f"{DOT} + dot(k, w[h, :])", "w: float[H, D]"),
    "dot_turned": score("dot(k, q) * scale"),
    "all_clauses": spec(
        "g: float[B, H, N, D], bias: float[H, 21], u: float[H]",
        "let d = clamp(j - i, -10, 10) + 10",
        "query l2(q) * (1 + g[b, h, i, :])",
        "key l2(k)",
        "value tanh(v)",
        "mask j <= i or j < 4",
        "score 5 * tanh(dot(q, k) * 2 / 5) + bias[h, d]",
        "output (1 - sigmoid(u[h])) * o + sigmoid(u[h]) * v_i",
    ),
    "sink": spec("z: float[H]", "mask j <= i and i - j < 9", "normalize sink(z[h])"),
    "sinks_and_more": spec(
        "z: float[H], t: float[B, H, N], u: float",
        "mask i - j < 20",
        "normalize 2 * exp(s - t[b, h, i]) / (exp(z[h]) + 1 + sum(exp(s))) / (2 + sin(u))",
        "output o + v_i",
        square=True,
    ),
    "sigmoid": spec("", "mask j <= i", f"score {DOT} - log(N)", "normalize sigmoid"),
    "sigmoid_of_all": spec("bias: float[H, N]", f"score {DOT} + bias[h, i]", "normalize sigmoid"),
    "relu2_count": spec("w: int", "mask j <= i and i - j < w", "normalize relu(s) ** 2 / count()", w=7),
    "retention": spec(
        "decay: float[H]",
        "mask j <= i",
        f"score {DOT} * exp(-(i - j) * softplus(decay[h]))",
        "normalize s / max(abs(sum(s)), 1)",
    ),
    "steps": spec("g: float[B, H, N]", "mask j <= i", f"score {DOT} + total(g[b, h, j + 1 : i + 1])"),
    "steps_both_ways": spec(
        "g: float[H, M]",
        f"score {DOT} + total(g[h, min(i, j) + 1 : max(i, j) + 1]) - 0.1 * total(g[h, 0 : j])",
        square=True,
    ),
    "steps_that_decide": spec(
        "g: float[B, M]",
        "mask j <= i and (total(g[b, j + 1 : i + 1]) < 3.0 or i - j < 2)",
        square=True,
    ),
    "steps_of_vectors": spec(
        "g: float[B, H, N, D], c: float[M, DV]",
        "score dot(q * sigmoid(total(g[b, h, 0 : i + 1, :])), k) * scale",
        "output o + total(c[0 : i, :])",
        square=True,
    ),
    "steps_and_sums": spec(
        "g: float[B, N]",
        "mask j <= i",
        "normalize relu(s) * exp(-abs(total(g[b, j + 1 : i + 1]))) / (1 + total(g[b, 0 : i]) ** 2)",
    ),
    "softplus_l1": spec("doc: int[B, N]", "mask doc[b, i] == doc[b, j]", "normalize softplus_l1", doc=(0, 3)),
    "power": spec(
        "w: int", "mask abs(i - j) <= w", "normalize relu(s) ** 3 / (0.01 + sum(relu(s) ** 3))", w=5
    ),
    "taylor": spec("", "mask j <= i", "normalize (1 + s + s * s / 2) / sum(1 + s + s * s / 2)"),
    "l2": spec(
        "g: float[B, H, N]",
        "mask j < 5 or j <= i - 3",
        "normalize s / sqrt(sum(s * s) + 0.01) * g[b, h, i]",
        "output o * sigmoid(g[b, h, i])",
    ),
    "none_with_bias": spec(
        "bias: float[H, N, M]", "mask j <= i", f"score {DOT} + bias[h, i, j]", "normalize none"
    ),
    "half_of_a_mean": spec("", "mask j < i", "normalize mean(s) * tanh(s) / 2"),
    "weights_by_place": spec(
        "", "mask j <= i", "normalize relu(s) * (1 + j % 3) / (1 + sum(relu(s) * (j + 1)))"
    ),
    "shifted_softmax": spec("", "mask j <= i", "normalize exp(s - max(s)) / sum(exp(s - max(s)))"),
    # Passes that come first, and arrays that a weight reads.
    "gauss_mean": spec("", "mask j <= i", "normalize exp(-(s - mean(s)) ** 2)"),
    "gauss_softmax": spec(
        "w: int", "mask abs(i - j) < w", "let g = exp(-(s - mean(s)) ** 2)", "normalize g / sum(g)", w=6
    ),
    "adaptive_temperature": spec(
        "z: float[H]",
        "mask j < i",
        "let e = exp(s / (1 + mean(s * s)))",
        "normalize e / (exp(z[h]) + sum(e))",
    ),
    "layernorm": spec(
        "doc: int[B, N]",
        "mask doc[b, i] == doc[b, j]",
        "let c = s - mean(s)",
        "normalize c / sqrt(mean(c * c) + 0.1)",
        doc=(0, 3),
    ),
    "log_softmax": spec("", "mask j <= i", "normalize s - log(sum(exp(s)))"),
    "softmax_sigmoid": spec("", "mask j <= i", "normalize exp(s) * sigmoid(s) / sum(exp(s))"),
    "temperature_of_heads": spec(
        "tau: float[H]", "mask j <= i", "normalize exp(s * (2 + tau[h])) / sum(exp(s * (2 + tau[h])))"
    ),
    "lssar": spec(
        "",
        "mask j <= i",
        "let a = softplus(s) / (0.01 + sum(softplus(s)))",
        "let r = relu(count() * a - 0.5) ** 3",
        "normalize r / (0.1 + sum(r))",
    ),
    "counted": spec("", "mask j < i", f"score {DOT}", "normalize sigmoid(s / count())"),
    "twice": spec("", "mask j <= i", "normalize sigmoid(s + mean(sigmoid(s - mean(s))))"),
    "arrays_in_weights": spec(
        "u: float[B, M], t: float[B, H, N]",
        "mask j <= i",
        "normalize sigmoid(s * u[b, j] + t[b, h, i]) / (1 + sum(sigmoid(s) * u[b, j] ** 2))",
    ),
    "array_in_score_and_weights": spec(
        "t: float[B, H, M]", "mask j <= i", f"score {DOT} + t[b, h, j]", "normalize sigmoid(s) * t[b, h, j]"
    ),
    "table_in_weights": spec(
        "t: float[H, 9]", "mask j <= i", "normalize relu(s) * t[h, clamp(j - i, -4, 4) + 4]"
    ),
    "max_norm": spec("w: int", "mask abs(i - j) < w", "normalize s / (0.1 + max(abs(s)))", w=6),
    "least_of_a_table": spec(
        "t: float[H, 9], u: float[B, M]",
        "mask j < i",
        f"score {DOT} * (1 + u[b, j]) + t[h, clamp(j - i, -4, 4) + 4]",
        "normalize sigmoid(s - min(s * u[b, j]))",
    ),
    "row_sum_of_an_array": spec(
        "u: float[B, M], t: float[B, H, N]",
        "mask j <= i",
        "normalize tanh(s + sum(u[b, j] * t[b, h, i] / 9))",
    ),
}

TAKEN = (
    "acc q0 tile p lse dtype torch tl triton min max out delta row rows dq d_q score visible seen shift left right "
    "value index lo hi q1 live_lo full_hi group strip first_row backend return_lse ctx lse_ptr math os float int range "
    "print type match case slot slots stride k0 t g dout ds dp new_max row_max row_sum rescale edge_tiles inside item x "
    "q_ptr k_stride_b TILES LOG2_E MINUS_INF EDGE BLOCK_Q BLOCK_K BLOCK_D TILE Tensor need_bias distance d_bias total_bias "
    "bias_ptr bias_stride_0 _forward _attention __name__ self cls zoo_ half place result arguments dlse finite q_head scores "
    "need positions j_ i_ b_ acc_ query_2 key_2 D_2 key_number_1 by_distance_1 zoo"
).split()
