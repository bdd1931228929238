"""Clauses: defaults, order, which names mean something where, and normalizations by name."""

from __future__ import annotations

from itertools import permutations

import pytest
from checking import attention, attentions, clause, clause_codes, codes, mistakes, with_clause

from attnc.ir import nodes as ir
from attnc.ir.text import print_ir


def test_what_is_left_out() -> None:
    found = attention("attention plain():\n    score dot(q, k) * scale\n")
    assert (found.query, found.key, found.value, found.output) == (
        ir.VecInput("q"),
        ir.VecInput("k"),
        ir.VecInput("v"),
        ir.VecInput("o"),
    )
    assert found.mask == ir.Truth(True)
    assert print_ir(found.score) == "dot(q, k) * scale"
    assert print_ir(found.normalize) == "exp(s) / sum(exp(s))"
    assert attention("attention bare():\n    mask true\n").score == found.score


def test_defaults_cite_the_attention() -> None:
    """Whoever prints reasons cites the file of the user, never the standard library."""
    found = attention("attention plain():\n    mask j <= i\n")
    assert found.normalize.span is not None
    assert found.normalize.span.place == "spec.attn:1"


LINES = (
    "let d = i - j",
    "query l2(q)",
    "mask d < 4",
    "score dot(q, k)",
    "normalize relu",
    "output o * scale",
)


def test_clauses_may_stand_in_any_order() -> None:
    first = None
    for order in permutations(LINES):
        if order.index(LINES[0]) < order.index(LINES[2]):
            found = attention("attention spec():\n" + "".join(f"    {line}\n" for line in order))
            first = first or found
            assert found == first


NAMES = ("b", "h", "i", "j", "q", "k", "v", "v_i", "o", "s")
MEANT = {
    "query": "bhiq",
    "key": "bhjk",
    "value": "bhjv",
    "mask": "bhij",
    "score": "bhijqk",
    "normalize": "bhijs",
    "output": ("b", "h", "i", "o", "v_i"),
}


@pytest.mark.parametrize("word", MEANT)
@pytest.mark.parametrize("name", NAMES)
def test_names_of_a_clause(word: str, name: str) -> None:
    is_vector = name in ("q", "k", "v", "v_i", "o")
    number = f"sum_d({name})" if is_vector else name
    text = {
        "mask": f"{number} > 0",
        "score": number,
        "normalize": f"{number} * s",
        "query": f"q * {number}",
        "key": f"k * {number}",
        "value": f"v * {number}",
        "output": f"o * {number}",
    }[word]
    assert clause_codes(word, text) == ([] if name in MEANT[word] else ["name-not-here"])
    # The same through a `let` and through a macro.
    through_let = with_clause(word, text.replace(number, "via")).replace(
        "    " + word, f"    let via = {number}\n    {word}"
    )
    assert [c for c in codes(through_let) if c == "name-not-here"] == (
        [] if name in MEANT[word] else ["name-not-here"]
    )
    through_macro = f"def via = {number}\n" + with_clause(word, text.replace(number, "via"))
    assert [c for c in codes(through_macro) if c == "name-not-here"] == (
        [] if name in MEANT[word] else ["name-not-here"]
    )


@pytest.mark.parametrize("word", MEANT)
@pytest.mark.parametrize("text", ["sum({})", "mean({})", "max({})", "min({})", "count", "count()"])
def test_reductions_belong_to_normalize(word: str, text: str) -> None:
    number = text.format("scale")
    whole = {"mask": "{} > 0", "score": "{}", "normalize": "{} * s", "query": "q * {}", "key": "k * {}"}
    spec = whole.get(word, "v * {}" if word == "value" else "o * {}").format(number)
    assert clause_codes(word, spec) == ([] if word == "normalize" else ["reduction-not-here"])


def test_the_key_head_of_a_query_head_has_a_name() -> None:
    for text in ("h_kv", "(h // (H // HKV))"):
        assert clause("score", f"dot(q, k) * {text}") == "dot(q, k) * real(h_kv)"


@pytest.mark.parametrize("size", ["B", "H", "HKV", "N", "M", "D", "DV", "scale"])
def test_sizes_are_known_everywhere(size: str) -> None:
    for word, text in {
        "query": "q * {}",
        "key": "k * {}",
        "value": "v * {}",
        "mask": "i < {}",
        "output": "o / {}",
    }.items():
        assert clause_codes(word, text.format(size)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("softmax", "exp(s) / sum(exp(s))"),
        ("softmax1", "exp(s) / (1.0 + sum(exp(s)))"),
        ("sink(x)", "exp(s) / (exp(x) + sum(exp(s)))"),
        ("sink(0)", "exp(s) / (1.0 + sum(exp(s)))"),
        ("sigmoid", "sigmoid(s)"),
        ("relu", "relu(s)"),
        ("relu2", "relu(s) ** 2.0"),
        ("relu2(s - 1)", "relu(s - 1.0) ** 2.0"),
        ("none", "s"),
        ("l1", "s / sum(abs(s))"),
        ("softplus_l1", "softplus(s) / sum(softplus(s))"),
        ("exp", "exp(s)"),
        ("softmax * scale", "exp(s) / sum(exp(s)) * scale"),
    ],
)
def test_named_normalizations(text: str, expected: str) -> None:
    assert clause("normalize", text) == expected


def test_a_bare_macro_of_one_argument_is_applied_to_the_score() -> None:
    assert clause("normalize", "half", before="def half(t, by = 2) = t / by\n") == "s / 2.0"
    assert clause("normalize", "softmax", before="def softmax(t) = t * t\n") == "s * s"


def test_a_macro_that_uses_the_score_itself_is_not() -> None:
    assert clause_codes("normalize", "sink") == ["missing-argument"]
    inner = "def weigh(z) = inner(z)\ndef inner(z) = s / z\n"
    assert codes(inner + "attention a():\n    normalize weigh\n") == ["missing-argument"]


def test_a_parameter_hides_a_macro() -> None:
    found = attention(
        "from std import causal\nattention a(causal: bool, softmax: float):\n    mask causal\n    score softmax\n"
    )
    assert print_ir(found.mask) == "causal"
    assert print_ir(found.score) == "softmax"


def test_lets_are_put_in_and_kept() -> None:
    found = attention(
        "attention a(n: int):\n    let d = i - j\n    let near = abs(d) < n\n    mask near and d >= 0\n"
    )
    assert print_ir(found.mask) == "abs(i - j) < n and 0 <= i - j"
    assert [(name, print_ir(term)) for name, term in found.lets] == [
        ("d", "i - j"),
        ("near", "abs(i - j) < n"),
    ]


def test_spans_are_those_of_the_text() -> None:
    text = "attention a(n: int):\n    let d = i - j\n    mask d < n and j <= i\n"
    found = attention(text)
    assert isinstance(found.mask, ir.And)
    spans = [item.span.text for item in found.mask.items if item.span]
    assert spans == ["d < n", "j <= i"]
    first = found.mask.items[0]
    assert isinstance(first, ir.Compare) and first.a.span is not None
    assert (first.a.span.text, first.a.span.line) == ("i - j", 2)


def test_several_attentions_share_a_file() -> None:
    text = "const W = 4\ndef near = abs(i - j) < W\nattention a():\n    mask near\nattention b2():\n    mask not near\n"
    first, second = attentions(text)
    assert (first.name, second.name) == ("a", "b2")
    assert print_ir(second.mask) == "4 <= abs(i - j)"


def test_a_library_has_no_attentions() -> None:
    assert attentions("def near(w) = abs(i - j) < w\n") == ()
    assert attentions("") == ()


def test_docstrings_are_kept() -> None:
    assert attention('attention a():\n    """What it is."""\n    mask j <= i\n').doc == "What it is."


def test_warnings() -> None:
    assert [
        (d.code, d.severity) for d in mistakes("attention a(n: int):\n    let d = i\n    mask false\n")
    ] == [
        ("unused-parameter", "warning"),
        ("unused-let", "warning"),
        ("mask-always-false", "warning"),
    ]


def test_a_parameter_is_used_by_a_size_a_grid_or_an_index() -> None:
    text = "attention a(n: int, w: int[n], t: int):\n    grid y: t, x: M // t\n    mask w[i % 4] < i.y\n"
    assert mistakes(text) == ()


@pytest.mark.parametrize(
    "lines",
    [
        ["let a = 1 + s + s * s / 2", "normalize a / sum(a)"],
        ["let a = 1 + s + s ** 2 / 2 + s ** 3 / 6 + s ** 4 / 24", "normalize a / sum(a)"],
        ["normalize exp(-s * s)"],
        ["normalize exp(-(s ** 2) / 2)"],
        ["score -sum_d((q - k) ** 2)", "normalize exp(s)"],
        ["score -sum_d(abs(q - k)) * exp(dot(q, k))", "normalize exp(s)"],
        ["score tanh(dot(q, k))", "normalize exp(2 * s - s ** 2)"],
        ["query exp(q)", "key sigmoid(k)", "score dot(q, k)", "normalize s / sum(s)"],
        ["query relu(q)", "key relu(k)", "score dot(q, k)", "normalize s / (1e-6 + sum(s))"],
    ],
)
def test_nothing_is_warned_of_that_cannot_be(lines: list[str]) -> None:
    assert codes("attention a():\n    " + "\n    ".join(lines) + "\n") == []


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["let a = 1 + s + s * s / 4", "normalize a / sum(a)"], "normalize-by-zero"),
        (["let a = 1 + s + s ** 3", "normalize a / sum(a)"], "normalize-by-zero"),
        (["query relu(q)", "key relu(k)", "score dot(q, k)", "normalize s / sum(s)"], "normalize-by-zero"),
        (["query exp(q)", "key k", "score dot(q, k)", "normalize s / sum(s)"], "normalize-by-zero"),
        (["normalize exp(s * s)"], "normalize-grows"),
        (["normalize exp(s) / count()"], "normalize-grows"),
        (["normalize exp(s) / (1 + sum(relu(s)))"], "normalize-grows"),
        (["score sum_d((q - k) ** 2)", "normalize exp(s)"], "normalize-grows"),
        (["score -sum_d((q - k) ** 3)", "normalize exp(s)"], "normalize-grows"),
        (["score -sum_d((q - k) ** 2)", "normalize exp(-s)"], "normalize-grows"),
    ],
)
def test_what_can_be_is_warned_of(lines: list[str], code: str) -> None:
    assert codes("attention a():\n    " + "\n    ".join(lines) + "\n") == [code]
