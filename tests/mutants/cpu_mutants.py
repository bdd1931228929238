"""Mistakes in the CPU path."""

from __future__ import annotations

from mutant import Mutant

ZOO = ("tests/kernels/test_zoo.py::test_zoo",)
PATH = ("tests/kernels/test_cpu_path.py",)
HELPERS = "attnc/emit/cpu_helpers.py"
FORWARD = "attnc/lower/cpu/forward.py"
BACKWARD = "attnc/lower/cpu/backward.py"


def cpu(*names: str) -> str:
    """Specs of the zoo, by the CPU path alone."""
    return f"cpu and ({' or '.join(names)})"


CPU = (
    Mutant(
        "cpu-hidden-scores-are-0",
        "hidden pairs have the score 0",
        "attnc/lower/cpu/tile.py",
        'self.hide_in("score", MINUS_INF)',
        'self.hide_in("score", function("float")(0))',
        ZOO,
        cpu("strict"),
    ),
    Mutant(
        "cpu-last-edge-not-masked",
        "the keys behind those that every query sees are not masked",
        HELPERS,
        "for first, end in ((lo, full_lo), (full_hi, hi)) if full_lo < full_hi",
        "for first, end in ((lo, full_lo),) if full_lo < full_hi",
        PATH,
        "joined",
    ),
    Mutant(
        "cpu-intervals-joined-over-a-gap",
        "two intervals become one slice with all that lies between them",
        HELPERS,
        "touches = parts and parts[-1].stop == lo",
        "touches = bool(parts)",
        PATH,
        "joined",
    ),
    Mutant(
        "cpu-full-keys-not-cut",
        "keys that every query sees reach beyond what is visited",
        HELPERS,
        "full_lo, full_hi = max(full_lo, lo), min(full_hi, hi)",
        "full_lo, full_hi = max(full_lo, lo), full_hi",
        PATH,
        "joined",
    ),
    Mutant(
        "cpu-ends-of-some-head",
        "an interval ends where that of the first head does",
        "attnc/lower/cpu/keys.py",
        'end_of(f"hi_{n}", visited.hi, "max"),',
        'end_of(f"hi_{n}", visited.hi, "min"),',
        ZOO,
        cpu("head_window", "batch_offset"),
    ),
    Mutant(
        "cpu-keys-listed-replace",
        "gradients of keys that are no slice replace what other tiles gave them",
        HELPERS,
        "batch[:, seen] += torch.bmm(x.mT, y, out=room.resize_(shape))",
        "batch[:, seen] = torch.bmm(x.mT, y, out=room.resize_(shape))",
        (*ZOO, *PATH),
        "cpu and (three_pieces or union or products_of_both_kinds)",
    ),
    Mutant(
        "cpu-gradient-of-lse-added",
        "the gradient of the log-sum-exp goes into delta with the wrong sign",
        BACKWARD,
        '.call("sum", -1, keepdim=True) - dlse',
        '.call("sum", -1, keepdim=True) + dlse',
        ZOO,
        cpu("no_scale"),
    ),
    Mutant(
        "cpu-half-precision-products",
        "weights in float16 are multiplied in float16",
        HELPERS,
        "    return torch.promote_types(dtype, torch.float32)\n",
        "    return dtype\n",
        PATH,
        "processor_can",
    ),
    Mutant(
        "cpu-heads-left-out",
        "steps over heads leave out the last heads of a step",
        HELPERS,
        "yield slice(first * heads // groups, end * heads // groups), slice(first, end)",
        "yield slice(first * heads // groups, first * heads // groups + count), slice(first, end)",
        PATH,
        "heads_in_steps",
    ),
    Mutant(
        "cpu-empty-row-subtracts-inf",
        "a row that sees no key subtracts inf from inf",
        HELPERS,
        "return score.amax(-1, keepdim=True).clamp_(min=torch.finfo(score.dtype).min)",
        "return score.amax(-1, keepdim=True)",
        ZOO,
        cpu("strict"),
    ),
    Mutant(
        "cpu-empty-row-divides-by-0",
        "a row that sees no key is divided by its sum",
        FORWARD,
        'total.call("clamp_", min=1.0)',
        'total.call("clamp_", min=0.0)',
        ZOO,
        cpu("strict"),
    ),
    Mutant(
        "cpu-lse-in-base-2",
        "the log-sum-exp is returned in base 2",
        FORWARD,
        '(Var("row_max") + Var("row_sum").call("log2_")) * LN_2',
        '(Var("row_max") + Var("row_sum").call("log2_"))',
        ZOO,
        cpu("no_scale"),
    ),
    Mutant(
        "cpu-empty-row-has-a-gradient",
        "a row without a key has a gradient through its log-sum-exp",
        BACKWARD,
        'none = Var("dlse").call("masked_fill", Var("lse").equals(MINUS_INF), 0.0)',
        'none = Var("dlse").call("clone")',
        ZOO,
        cpu("row_only_slope"),
    ),
    Mutant(
        "cpu-factor-of-a-shared-tensor",
        "a factor waits although its tensor stands in two dot products",
        BACKWARD,
        "alone = _uses(plan, pair.query) == _uses(plan, pair.key) == 1",
        "alone = _uses(plan, pair.query) == 1",
        ZOO,
        cpu("dot_shared_key", "dots_of_many"),
    ),
    Mutant(
        "cpu-largest-counted-from-the-tile",
        "the first of the largest keys is counted from where a tile begins",
        HELPERS,
        'return torch.where(largest == float("-inf"), -1, _positions(seen)[column])',
        'return torch.where(largest == float("-inf"), -1, column)',
        ("tests/kernels/test_ties.py",),
        "cpu",
    ),
    Mutant(
        "cpu-negative-scale-handed-over",
        "causal attention is handed to torch with a scale below 0",
        "attnc/lower/cpu/handed.py",
        "[scale > 0] * (plain.kind",
        "[scale < 1e9] * (plain.kind",
        PATH,
        "has_no_kernel",
    ),
    Mutant(
        "cpu-gradient-of-lse-handed-over",
        "backward is handed to torch although the log-sum-exp has a gradient",
        "attnc/lower/cpu/handed.py",
        '_hand(path, [no_dlse], "_backward_of_torch"',
        '_hand(path, [no_dlse][:0], "_backward_of_torch"',
        PATH,
        "has_no_kernel",
    ),
    Mutant(
        "cpu-index-clamped-too-early",
        "the last entry of an array cannot be read by a computed index",
        "attnc/lower/torch_terms.py",
        'return value.call("clamp", 0, self(size) - 1)',
        'return value.call("clamp", 0, self(size) - 2)',
        ZOO,
        cpu("bias_indirect", "bias_table"),
    ),
    Mutant(
        "cpu-slots-below-zero",
        "an empty slot of a row of numbers matches an item that is negative too",
        "attnc/lower/torch_terms.py",
        '((row.equals(wanted)) & (row >= 0)).call("any", -1)',
        '(row.equals(wanted)).call("any", -1)',
        ZOO,
        cpu("member_below_zero"),
    ),
    Mutant(
        "cpu-later-values-remembered",
        "lists of tiles are remembered although the array has changed since",
        "attnc/emit/helpers.py",
        "torch.equal(held, _bits_of(tensor)) if isinstance(held, Tensor) else held() is tensor",
        "isinstance(held, Tensor) or held() is tensor",
        ("tests/lower/test_lists.py",),
        "remember or same or change or again",
    ),
)
