"""What `attnc explain` prints, beyond the golden files."""

from __future__ import annotations

import json
import re
from itertools import takewhile

import pytest
from compilations import example

import attnc
from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.options import make_options
from attnc.run.cost import Setting
from attnc.source import Source


def explain(mask: str, params: str = "") -> str:
    return attnc.compile(f"attention a({params}):\n    mask {mask}\n").explain()


def cost(mask: str, params: str = "") -> str:
    """The paragraph on cost, as one line."""
    return " ".join(explain(mask, params).split("\ncost ")[1].split())


def test_no_line_breaks_inside_an_interval() -> None:
    text = explain("j <= i and (j < sinks or i - j < window)", "sinks: int, window: int")
    for line in text.splitlines():
        assert line.count("[") == line.count(")") - line.count("(") + line.count("]"), line
        assert len(line) <= 110


GRID = "a: int, b_: int, c: int"


CUT = "(a + {0} * b_ <= j and j < {0} * c + min(a, b_ + {0}) and i < {0} + max(a, c * b_))"


@pytest.mark.parametrize(
    "mask",
    [
        "abs(i.x - j.x) <= a and abs(i.y - j.y) <= b_ and abs(i.z - j.z) <= c",
        " or ".join(CUT.format(n) for n in range(5)),
    ],
)
def test_lines_have_an_end(mask: str) -> None:
    """Bounds that a line cannot hold break in it, and those that nobody would read are left to programs."""
    text = f"attention a({GRID}):\n    grid z: frames, y: rows, x: cols\n    mask {mask}\n"
    compilation = Compilation(Source("a.attn", text))
    lines = compilation.explain().splitlines()
    assert max(map(len, lines)) <= 110
    assert not any(re.match(" {10,}-", line) for line in lines)
    because = (
        *compilation.facts.keys.because,
        *compilation.facts.queries.because,
        *compilation.facts.rows.because,
    )
    assert max(len(reason.text) for reason in because) <= 2000


@pytest.mark.parametrize(
    ("mask", "work", "tiles", "density"),
    [("true", "100 %", "4096 of 4096 tiles are visited; 4096 of them are full and need no mask", "100 %"),
     ("j <= i", "50.8 %", "2080 of 4096 tiles are visited; 2016 of them are full and need no mask", "50 %"),
     ("i == j", "1.56 %", "64 of 4096 tiles are visited; 0 of them are full and need no mask", "0.0122 %")],
)  # fmt: skip
def test_cost_is_a_share_of_all_tiles(mask: str, work: str, tiles: str, density: str) -> None:
    assert cost(mask) == (
        f"{work} of the work of dense attention (N = M = 8192, tiles of 128 x 128)"
        f" - {tiles} - {density} of all pairs are visible"
    )


def test_cost_names_the_defaults_it_was_taken_at() -> None:
    assert "(N = M = 8192, tiles of 128 x 128, w = 128)" in cost("j <= i and i - j < w", "w: int = 128")


def test_cost_says_what_it_would_need() -> None:
    assert cost("j < prefix", "prefix: int") == "`prefix` decides which tiles are visited, and has no value"


def test_density_is_bounded_where_it_is_not_known() -> None:
    assert cost("(i * j) % 3 == 0 and j <= i").endswith("- between 0 % and 50 % of all pairs are visible")


def compiled(text: str) -> Compilation:
    return Compilation(Source("<string>", text), make_options())


WINDOW = "attention a(w: int, on: bool = true):\n    mask j <= i and (i - j < w or not on)\n"


def test_cost_at_a_setting() -> None:
    setting = Setting({"N": 64, "M": 128, "w": 8}, tile=(16, 32))
    text = " ".join(compiled(WINDOW).explain(setting).split("\ncost ")[1].split())
    assert text == (
        "31.2 % of the work of dense attention (N = 64, M = 128, tiles of 16 x 32, on = true, w = 8)"
        " - 5 of 16 tiles are visited; 0 of them are full and need no mask"
        f" - {100 * (64 * 8 - 28) / 8192:.3g} % of all pairs are visible"
    )


def test_cost_in_json_is_that_of_the_text() -> None:
    setting = Setting({"N": 64, "w": 8}, tile=(16, 16))
    found = json.loads(compiled(WINDOW).explain_json(setting))["cost"]
    density = (64 * 8 - 28) / 64**2
    assert found == {
        "at": {"N": 64, "M": 64, "on": True, "w": 8},
        "tile": [16, 16],
        "visited": 7,
        "full": 0,
        "total": 16,
        "passes": 1,
        "work": 7 / 16,
        "density": [density, density],
        "needed": 64 * 8 - 28,
        "visited_per_needed": 7 * 16**2 / (64 * 8 - 28),
        "dense_per_visited": 16 / 7,
        "worst": 0.5,
        "boxes": None,
    }
    missing = json.loads(compiled(WINDOW).explain_json())["cost"]
    assert missing == {
        "at": {"N": 8192, "M": 8192, "on": True},
        "tile": [128, 128],
        "missing": "`w` decides which tiles are visited, and has no value",
    }


def test_periods_in_json() -> None:
    text = "attention a(c: int):\n    mask i % c == j % c or j >= 64\n"
    keys = json.loads(compiled(text).explain_json())["keys"]
    assert keys["periods"] == {
        "length": "c",
        "start": "c * first_period()",
        "numbers": ["0", "min((M - 1) // c + 1, 63 // c + 1)"],
    }
    assert keys["suffix"] == [["64", "M"], ["64", "M"]]
    window = json.loads(compiled(WINDOW).explain_json())["keys"]
    assert window["periods"] is None and window["suffix"] is None


def test_cost_is_that_of_one_head() -> None:
    text = "attention a():\n    mask h < 1 or i == j\n"
    shares = [compiled(text).explain(Setting({"N": 1024}, head=head)).split("\ncost ")[1] for head in (0, 1)]
    assert shares[0].split(" of ")[0].strip() == "100 %" and "h = 0" in shares[0]
    assert shares[1].split(" of ")[0].strip() == "12.5 %" and "h = 1" in shares[1]
    assert "- this is head 1 alone: others see other keys" in shares[1]
    assert "h = " not in cost("j <= i") and "alone" not in cost("j <= i")
    both = cost("h < 1 and b < 1 or i == j")
    assert "- this is head 0 of batch entry 0 alone: others see other keys - 4096 of 4096 tiles" in both


def test_cost_counts_passes() -> None:
    formula = "exp(-(s - mean(s)) ** 2) / sum(exp(-(s - mean(s)) ** 2))"
    found = compiled(f"attention a():\n    mask j <= i\n    normalize {formula}\n")
    passes = len(found.facts.weights.before) + 1
    assert passes > 1
    text = " ".join(found.explain().split("\ncost ")[1].split())
    tiles = f"2080 of 4096 tiles are visited in each of {passes} passes over the keys; 2016 of them are full"
    assert tiles in text
    assert text.startswith(f"{100 * passes * 2080 / 4096:.3g} % of the work of dense attention")
    assert json.loads(found.explain_json())["cost"]["work"] == passes * 2080 / 4096


def test_the_cost_of_a_grid_has_its_tokens() -> None:
    text = "attention a():\n    grid y: rows, x: cols\n    mask i.y == j.y\n"
    assert "(N = M = 96, tiles of 128 x 128, rows = 8, cols = 12)" in compiled(text).explain(
        Setting({"rows": 8, "cols": 12})
    )
    with pytest.raises(
        AttncError, match=r"the query grid \[rows, cols\] = \[8, 12\] needs the product N = 97"
    ):
        compiled(text).explain(Setting({"rows": 8, "cols": 12, "N": 97}))


def test_json_has_every_reason() -> None:
    source = Source("<string>", "attention a():\n    mask j < i\n")
    compilation = Compilation(source, make_options())
    found = json.loads(compilation.explain_json())
    facts = compilation.facts
    assert found["keys"]["because"] == [str(reason) for reason in facts.keys.because]
    assert found["rows"] == {"can_be_empty": True, "because": [str(reason) for reason in facts.rows.because]}
    assert found["place"] == "<string>:1"


RETENTION = """attention retention(gamma: float[H]):
    mask      j <= i
    score     dot(q, k) * scale * gamma[h] ** (i - j)
    normalize none
"""
CHANNELS = """attention channels(G: float[B, H, N, D], length: int[B]):
    mask      j <= i and j < length[b]
    score     sum_d(q * k * exp(G[b, h, i, :] - G[b, h, j, :]))
    normalize s / (1 + sum(s ** 2))
"""


def linear_lines(text: str) -> list[str]:
    """The paragraph on linear attention."""
    lines = compiled(text).explain().splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("linear"))
    return [lines[at], *takewhile(lambda line: line.startswith(" "), lines[at + 1 :])]


def test_linear_attention_is_said_to_be() -> None:
    assert linear_lines(RETENTION) == [
        "linear   scale * exp(log(gamma[h]) * i - log(gamma[h]) * j) * dot(q, k): 1 product of a query and a key, 64",
        "         features at D = 64",
        "         - `exp(log(gamma[h]) * i - log(gamma[h]) * j)` is a decay: a state fades by it from token to token",
        "         - this holds where `gamma[h]` is above 0",
        "         - `j <= i`: a state of the keys up to the query is enough (line 2)",
    ]


def test_linear_attention_without_a_kernel() -> None:
    assert linear_lines(CHANNELS) == [
        "linear   sum_d(q * k * exp(G[b, h, i, :] - G[b, h, j, :])): 1 product of a query and a key, 64 features at",
        "         D = 64",
        "         - `exp(G[b, h, i, :] - G[b, h, j, :])` is a decay: a state fades by it from token to token",
        "         - `j <= i`: a state of the keys up to the query is enough (line 2)",
        "         - `j < length[b]`: keys that are hidden have no part in it (line 2)",
        "         - found linear; the interpreter computes it, pair by pair: in time that grows with the tokens it",
        "           would pay from about N = 256",
    ]


def test_what_is_not_linear_takes_a_line() -> None:
    assert linear_lines("attention a():\n    mask j <= i\n") == [
        "linear   no: softmax takes the exponential of `dot(q, k) * scale`, in which a dot product stands (line 1)"
    ]


def test_linear_attention_in_json() -> None:
    assert json.loads(compiled(RETENTION).explain_json())["linear"] == {
        "found": True,
        "terms": ["scale * exp(log(gamma[h]) * i - log(gamma[h]) * j) * dot(q, k)"],
        "features": "D",
        "reason": None,
        "because": [str(reason) for reason in compiled(RETENTION).facts.linear.because],
    }
    assert json.loads(compiled("attention a():\n    normalize sigmoid\n").explain_json())["linear"] == {
        "found": False,
        "terms": [],
        "features": None,
        "reason": "`sigmoid(dot(q, k) * scale)` is not a polynomial of dot products (<string>:2)",
        "because": ["`sigmoid(dot(q, k) * scale)` is not a polynomial of dot products (<string>:2)"],
    }


def bias_lines(params: str, score: str, normalize: str = "softmax", mask: str = "j <= i") -> list[str]:
    """The paragraph on the bias; none where there is nothing to say."""
    clauses = f"    mask {mask}\n    score {score}\n    normalize {normalize}\n"
    lines = compiled(f"attention a({params}):\n{clauses}").explain().splitlines()
    at = next((n for n, line in enumerate(lines) if line.startswith("bias")), None)
    rest = [] if at is None else lines[at:]
    return [line[9:] for line in takewhile(lambda line: line[:4] in ("bias", "    "), rest)]


SWIN = "table: float[H, 2 * rows - 1, 2 * cols - 1]"
SWIN_BIAS = "table[h, i.y - j.y + rows - 1, i.x - j.x + cols - 1]"
BIASES = {
    ("slope: float[H]", "dot(q, k) * scale - slope[h] * (i - j)"): [
        "slope[h] * j: a column, one number of each key",
        "- `-(slope[h] * i)` is the same for every key of a row: softmax loses it; with it, the rank is 2",
        "  (line 3)",
    ],
    ("slope: float[H]", "(dot(q, k) - slope[h] * abs(i - j)) * scale"): [
        "slope[h] * scale * j: a column, one number of each key",
        "- `-(slope[h] * scale * i)` is the same for every key of a row: softmax loses it; with it, the rank",
        "  is 2 (line 3)",
    ],
    ("", "dot(q, k) * scale - (i - j) ** 2"): [
        "2 * i * j - j ** 2: rank 2, one of it a column",
        "- `-i ** 2` is the same for every key of a row: softmax loses it; with it, the rank is 3 (line 3)",
        "- it stays as it is written: as features of queries and keys, each rounded by eps, it may be off by 5",
        "  eps times (2 * i * j + j ** 2), in float32 by 60 at i = j = 8191",
    ],
    ("x: float[B, N], y: float[B, N]", "dot(q, k) * scale - (x[b, i] - x[b, j]) ** 2 - (y[b, i] - y[b, j]) ** 2"): [
        "2 * x[b, i] * x[b, j] - (x[b, j] ** 2 + y[b, j] ** 2) + 2 * y[b, i] * y[b, j]: rank 3, one of it a",
        "column",
        "- `-x[b, i] ** 2 - y[b, i] ** 2` is the same for every key of a row: softmax loses it; with it, the",
        "  rank is 4 (line 3)",
        "- it stays as it is written: as features of queries and keys, each rounded by eps, it may be off by 6",
        "  eps times (abs(2 * x[b, i] * x[b, j]) + (x[b, j] ** 2 + y[b, j] ** 2) + abs(2 * y[b, i] * y[b, j]))",
    ],
    ("U: float[B, H, N, R], V: float[B, H, M, R], R: int", "dot(q, k) * scale + dot(U[b, h, i, :], V[b, h, j, :])"): [
        "dot(U[b, h, i, :], V[b, h, j, :]): rank R",
        "- kernels multiply its vectors as they do queries and keys",
    ],
    ("X: float[B, N, 3]", "dot(q, k) * scale - sum_d((X[b, i, :] - X[b, j, :]) ** 2)"): [
        "2 * dot(X[b, i, :], X[b, j, :]) - sum_d(X[b, j, :] ** 2): rank 4, one of it a column",
        "- `-sum_d(X[b, i, :] ** 2)` is the same for every key of a row: softmax loses it; with it, the rank",
        "  is 5 (line 3)",
        "- it stays as it is written: as features of queries and keys, each rounded by eps, it may be off by 7",
        "  eps times (2 * dot(abs(X[b, i, :]), abs(X[b, j, :])) + sum_d(X[b, j, :] ** 2))",
    ],
    ("gamma: float[H]", "dot(q, k) * scale + gamma[h] ** (i - j)"): [
        "exp(log(gamma[h]) * i - log(gamma[h]) * j): rank 1",
        "- this holds where `gamma[h]` is above 0",
        "- it stays as it is written: exponentials of one side overflow where their product does not",
    ],
    ("t: float[B, N], u: float[B, M], bias: float[H, N, M]", "dot(q, k) + t[b, i] * u[b, j] + bias[h, i, j]"): [
        "t[b, i] * u[b, j]: rank 1",
        "- beside it, `bias[h, i, j]` reads `bias` by the query and the key at once (line 3)",
    ],
    ("t: float[B, N], bias: float[H, N, M]", "dot(q, k) + t[b, i] + bias[h, i, j]"): [
        "not separable: `bias[h, i, j]` reads `bias` by the query and the key at once (line 3)",
        "- `t[b, i]` is the same for every key of a row: softmax loses it (line 3)",
    ],
    ("t: float[B, N]", "dot(q, k) * scale + t[b, i]"): [
        "nothing that softmax keeps",
        "- `t[b, i]` is the same for every key of a row: softmax loses it (line 3)",
    ],
    ("table: float[H, 2 * M - 1]", "dot(q, k) * scale + table[h, i - j + M - 1]"): [
        "not separable: `table[h, i - j + M - 1]` reads `table` by the query and the key at once (line 3)",
    ],
    ("r: float[H]", "dot(q, k) * scale - r[h] * log(1 + abs(i - j))"): [
        "not separable: `log(1 + abs(i - j))` does not split into a part of the query and a part of the key",
        "(line 3)",
    ],
    ("", "dot(q, k) * scale"): [],
    ("cap: float", "cap * tanh(dot(q, k) * scale / cap)"): [],
}  # fmt: skip


@pytest.mark.parametrize(("params", "score"), BIASES)
def test_biases_are_said_to_be(params: str, score: str) -> None:
    assert bias_lines(params, score) == BIASES[params, score]


def test_biases_where_the_sum_of_a_row_is_no_softmax() -> None:
    assert bias_lines("slope: float[H]", "dot(q, k) - slope[h] * (i - j)", "sigmoid") == [
        "slope[h] * j - slope[h] * i: rank 2, one of it a column"
    ]
    assert bias_lines("t: float[H, N]", "dot(q, k) + t[h, i]", "sink(0.5)") == [
        "t[h, i]: a row, one number of each query"
    ]
    assert bias_lines("", "dot(q, k) - log(M)", "sigmoid") == []
    # Linear attention takes all of it apart.
    assert bias_lines("x: float[B, N]", "dot(q, k) - (x[b, i] - x[b, j]) ** 2", "none") == []


def test_biases_of_tables() -> None:
    """By the buckets of a distance, as T5 has it, and by both differences on a grid, as Swin has it."""
    t5 = " ".join(example("t5_bias").explain().split())
    assert " bias not separable: `bias[h, (buckets // 2 if 0 < j - i else 0) + " in t5
    assert " reads `bias` by the query and the key at once (line 7) linear no: " in t5
    text = f"attention a({SWIN}):\n    grid y: rows, x: cols\n    score dot(q, k) * scale + {SWIN_BIAS}\n"
    swin = " ".join(compiled(text).explain().split())
    read = "`table[h, i // cols - j // cols + rows - 1, i % cols - j % cols + cols - 1]` reads `table`"
    assert f" bias not separable: {read} by the query and the key at once (line 3) linear no: " in swin


def test_biases_in_json() -> None:
    text = "attention a(bias: float[H, N, M]):\n    score dot(q, k) - (i - j) ** 2 + bias[h, i, j]\n"
    found = compiled(text)
    named = "`bias[h, i, j]` reads `bias` by the query and the key at once (<string>:2)"
    assert json.loads(found.explain_json())["bias"] == {
        "terms": ["2 * i * j", "-1 * j ** 2"],
        "rank": "2",
        "lost": ["-1 * i ** 2"],
        "rank_of_all": "3",
        "others": [named],
        "because": [
            "`-i ** 2` is the same for every key of a row: softmax loses it; with it, the rank is 3 (<string>:2)",
            f"beside it, {named}",
            "it stays as it is written: as features of queries and keys, each rounded by eps, it may be off by 5 eps"
            " times (2 * i * j + j ** 2), in float32 by 60 at i = j = 8191",
        ],
    }
    assert json.loads(compiled("attention a():\n    mask j <= i\n").explain_json())["bias"] is None


WINDOW_2D = """\
attention a(radius: int):
    grid y: rows, x: cols
    mask abs(i.y - j.y) <= radius and abs(i.x - j.x) <= radius
"""


def paragraph(text: str, title: str) -> str:
    """A paragraph as one line."""
    whole = text.split(f"\n{title} ")[1]
    return " ".join(
        "".join(takewhile(lambda line: line[:1].isspace(), whole.splitlines(keepends=True))).split()
    )


def test_a_grid_and_its_boxes() -> None:
    text = compiled(WINDOW_2D).explain(Setting({"rows": 16, "cols": 16, "radius": 2}, tile=(16, 16)))
    assert paragraph(text, "grid") == (
        "y: rows, x: cols; neighborhood on y (`2 * radius + 1`) and x (`2 * radius + 1`)"
        " - y: queries [y0, y1] read keys [y0 - radius, y1 + radius + 1);"
        " all of them see [y1 - radius, y0 + radius + 1)"
        " - x: queries [x0, x1] read keys [x0 - radius, x1 + radius + 1);"
        " all of them see [x1 - radius, x0 + radius + 1)"
    )
    needed, visited = (16 * 5 - 6) ** 2, 16 * (6 + 8 + 8 + 6) * (4 * 8)
    assert paragraph(text, "boxes").split(" - ")[:2] == [
        "tiles that are boxes of y x x would visit less (no schedule makes boxes yet: tiles are runs of tokens)",
        f"4 x 4 queries, 2 x 8 keys: {visited / needed:.3g} multiply-adds for each one needed,"
        f" {256**2 / visited:.3g} times less than dense attention visits; the worst tile visits 25 % of the keys",
    ]


def test_a_grid_in_json() -> None:
    found = json.loads(
        compiled(WINDOW_2D).explain_json(Setting({"rows": 16, "cols": 16, "radius": 2}, tile=(16, 16)))
    )
    assert found["grid"]["says"] == "neighborhood on y (`2 * radius + 1`) and x (`2 * radius + 1`)"
    needed = (16 * 5 - 6) ** 2
    assert found["cost"]["needed"] == needed and len(found["cost"]["boxes"]) == 5
    assert found["cost"]["visited_per_needed"] == 74 * 256 / needed
    assert json.loads(compiled(WINDOW).explain_json())["grid"] is None


def test_grids_without_an_axis_in_common() -> None:
    text = compiled(
        "attention a():\n    grid query(y: rows, x: cols) key(z: deep)\n    mask i.y <= j.z\n"
    ).explain()
    assert paragraph(text, "grid") == "queries and keys have other axes, so nothing is found along any"


def test_boxes_of_a_head() -> None:
    """Where a head decides, the cost says whose it is."""
    text = (
        "attention a():\n    grid y: rows, x: cols\n    mask h < 1 and i.x == j.x or h >= 1 and i.y == j.y\n"
    )
    for head, shape in ((0, "16 x 1"), (1, "1 x 16")):
        said = compiled(text).explain(Setting({"rows": 16, "cols": 16}, (16, 16), head))
        assert f"this is head {head} alone" in paragraph(said, "cost")
        assert f" - {shape} queries, {shape} keys: 1 multiply-adds for each one needed" in paragraph(
            said, "boxes"
        )
