"""Every mistake of a call has one clear message, and what is no mistake passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from interpreter_specs import spec, tensors

from attnc.errors import AttncError, Diagnostic
from attnc.ir import nodes as ir
from attnc.run.arguments import check_arguments

ATTENTION = spec(
    "window: int = 4",
    "cap: float = 50.0",
    "on: bool = true",
    "doc: sorted int[B, N]",
    "bias: float[H, 2 * window + 1]",
    "flags: bool[M]",
    name="sample",
)


def arguments(**changed: Any) -> dict[str, Any]:
    good = {
        "doc": torch.zeros(2, 5, dtype=torch.int64),
        "bias": torch.zeros(4, 9),
        "flags": torch.zeros(7, dtype=torch.bool),
    }
    return {name: value for name, value in (good | changed).items() if value is not ...}


def mistake(
    attention: ir.Attention = ATTENTION, qkv: Any = None, given: dict[str, Any] | None = None, **more: Any
) -> Diagnostic:
    with pytest.raises(AttncError) as caught:
        check_arguments(attention, *(qkv or tensors()), arguments() if given is None else given, **more)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_values_come_in_the_order_of_the_parameters_with_defaults_filled_in() -> None:
    given = arguments(cap=3)
    found = check_arguments(ATTENTION, *tensors(), given)
    assert list(found) == ["window", "cap", "on", "doc", "bias", "flags"]
    assert (found["window"], found["cap"], found["on"]) == (4, 3.0, True)
    assert isinstance(found["cap"], float)
    assert found["bias"] is given["bias"]


# ---- q, k, v ---------------------------------------------------------------------------------------


def reshaped(**shapes: tuple[int, ...]) -> list[torch.Tensor]:
    q, k, v = tensors()
    made = {"q": q, "k": k, "v": v} | {
        name: torch.zeros(shape, dtype=q.dtype) for name, shape in shapes.items()
    }
    return list(made.values())


@pytest.mark.parametrize(
    ("shapes", "code", "message"),
    [
        ({"q": (2, 4, 5)}, "wrong-rank", "`q` needs 4 dimensions [B, H, N, D], got shape [2, 4, 5]"),
        (
            {"k": (2, 2, 7, 6, 1)},
            "wrong-rank",
            "`k` needs 4 dimensions [B, HKV, M, D], got shape [2, 2, 7, 6, 1]",
        ),
        ({"v": ()}, "wrong-rank", "`v` needs 4 dimensions [B, HKV, M, DV], got shape []"),
        (
            {"k": (3, 2, 7, 6)},
            "wrong-shape",
            "`k` needs shape [B, HKV, M, D] = [2, HKV, M, 6], got [3, 2, 7, 6]",
        ),
        (
            {"k": (2, 2, 7, 5)},
            "wrong-shape",
            "`k` needs shape [B, HKV, M, D] = [2, HKV, M, 6], got [2, 2, 7, 5]",
        ),
        (
            {"v": (2, 4, 7, 4)},
            "wrong-shape",
            "`v` needs shape [B, HKV, M, DV] = [2, 2, 7, DV], got [2, 4, 7, 4]",
        ),
        (
            {"v": (2, 2, 6, 4)},
            "wrong-shape",
            "`v` needs shape [B, HKV, M, DV] = [2, 2, 7, DV], got [2, 2, 6, 4]",
        ),
        ({"q": (2, 5, 5, 6)}, "wrong-heads", "`q` needs a multiple of the 2 heads of `k`, got 5"),
        ({"q": (2, 1, 5, 6)}, "wrong-heads", "`q` needs a multiple of the 2 heads of `k`, got 1"),
        ({"q": (2, 4, 5, 0)}, "wrong-shape", "`q` needs `D` to be 1 or more, got shape [2, 4, 5, 0]"),
        ({"v": (2, 2, 7, 0)}, "wrong-shape", "`v` needs `DV` to be 1 or more, got shape [2, 2, 7, 0]"),
        ({"k": (2, 0, 7, 6)}, "wrong-shape", "`k` needs `HKV` to be 1 or more, got shape [2, 0, 7, 6]"),
    ],
)
def test_shapes(shapes: dict[str, tuple[int, ...]], code: str, message: str) -> None:
    found = mistake(qkv=reshaped(**shapes))
    assert (found.code, found.message) == (code, message)


def test_dtypes_and_devices() -> None:
    q, k, v = tensors()
    found = mistake(qkv=(q.int(), k, v))
    assert found.code == "wrong-dtype"
    assert found.message == "`q` needs dtype float16, bfloat16, float32 or float64, got int32"
    assert mistake(qkv=(q, k.float(), v)).message == "`k` needs the dtype of `q`, float64, got float32"
    found = mistake(qkv=(q, k, v.to("meta")))
    assert (found.code, found.message) == ("wrong-device", "`v` needs the device of `q`, cpu, got meta")
    found = mistake(qkv=([1.0], k, v))
    assert (found.code, found.message) == ("wrong-type", "`q` needs a tensor, got list")
    assert mistake(qkv=(q, k, np.zeros((2, 2, 7, 4)))).message == "`v` needs a tensor, got ndarray"


# ---- names -----------------------------------------------------------------------------------------


def test_names() -> None:
    found = mistake(given=arguments(windw=3))
    assert (found.code, found.message) == ("unknown-argument", "`sample` has no parameter `windw`")
    assert found.helps == ("did you mean `window`?",)
    assert found.notes == ("its parameters: `window`, `cap`, `on`, `doc`, `bias`, `flags`",)
    found = mistake(spec(), given={"zzz": 1})
    assert (found.helps, found.notes) == ((), ("its parameters: none",))
    found = mistake(given=arguments(bias=...))
    assert found.code == "missing-argument"
    assert found.message == "`sample` needs `bias`, a float[H, 2 * window + 1], and it was not given"
    assert mistake(spec("w: int"), given={}).message == "`sample` needs `w`, an int, and it was not given"


# ---- scalars ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("window", 3.0, "`window` needs an int, got 3.0 (float)"),
        ("window", True, "`window` needs an int, got True (bool)"),
        ("window", "3", "`window` needs an int, got '3' (str)"),
        ("window", None, "`window` needs an int, got None"),
        ("window", [3], "`window` needs an int, got list"),
        ("window", 2**62, "`window` needs an int between -2**62 and 2**62, got 4611686018427387904 (int)"),
        ("window", torch.tensor(2.0), "`window` needs an int, got 2.0 (float)"),
        ("window", torch.tensor([2]), "`window` needs an int, got Tensor of shape [1]"),
        ("window", np.zeros(2), "`window` needs an int, got ndarray of shape [2]"),
        ("cap", False, "`cap` needs a float, got False (bool)"),
        ("cap", 1j, "`cap` needs a float, got complex"),
        ("cap", torch.tensor(True), "`cap` needs a float, got True (bool)"),
        ("on", 1, "`on` needs a bool, got 1 (int)"),
        ("on", torch.zeros(2, dtype=torch.bool), "`on` needs a bool, got Tensor of shape [2]"),
    ],
)
def test_scalars(name: str, value: object, message: str) -> None:
    found = mistake(given=arguments(**{name: value}))
    assert (found.code, found.message) == ("wrong-type", message)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("window", np.int32(4), 4),
        ("window", torch.tensor(4), 4),
        ("window", 1 - 2**62, None),
        ("cap", 3, 3.0),
        ("cap", np.float32(0.5), 0.5),
        ("cap", torch.tensor(0.5), 0.5),
        ("cap", torch.tensor(2), 2.0),
        ("on", np.bool_(True), True),
        ("on", torch.tensor(False), False),
    ],
)
def test_scalars_of_other_libraries(name: str, value: object, expected: object) -> None:
    if expected is None:
        assert mistake(given=arguments(**{name: value})).code == "wrong-size"
        return
    found = check_arguments(ATTENTION, *tensors(), arguments(**{name: value}))[name]
    assert found == expected
    assert type(found) is type(expected)


def test_a_scalar_gets_no_gradient() -> None:
    found = mistake(given=arguments(cap=torch.tensor(2.0, requires_grad=True)))
    assert found.code == "wrong-type"
    assert (
        found.message == "`cap` is a scalar, which gets no gradient, and was given a tensor that requires one"
    )
    assert found.helps == ("declare it `cap: float[1]` and read `cap[0]`, or pass `cap.item()`",)


def test_the_scale_is_a_number() -> None:
    assert mistake(scale="1").message == "`scale` needs a float, got '1' (str)"
    assert mistake(scale=True).message == "`scale` needs a float, got True (bool)"
    check_arguments(ATTENTION, *tensors(), arguments(), scale=1)


# ---- arrays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "code", "message"),
    [
        ("bias", [[0.0]], "wrong-type", "`bias` needs a tensor, got list"),
        ("bias", torch.zeros(9), "wrong-rank", "`bias` needs 2 dimensions [H, 2 * window + 1], got shape [9]"),
        ("flags", torch.zeros(7, 1), "wrong-rank", "`flags` needs 1 dimension [M], got shape [7, 1]"),
        (
            "bias",
            torch.zeros(4, 10),
            "wrong-shape",
            "`bias` needs shape [H, 2 * window + 1] = [4, 9], got [4, 10]",
        ),
        ("doc", torch.zeros(1, 5).long(), "wrong-shape", "`doc` needs shape [B, N] = [2, 5], got [1, 5]"),
        (
            "bias",
            torch.zeros(4, 9).int(),
            "wrong-dtype",
            "`bias` needs dtype float16, bfloat16, float32 or float64, got int32",
        ),
        ("doc", torch.zeros(2, 5), "wrong-dtype", "`doc` needs dtype int32 or int64, got float32"),
        ("doc", torch.zeros(2, 5).short(), "wrong-dtype", "`doc` needs dtype int32 or int64, got int16"),
        ("flags", torch.zeros(7).long(), "wrong-dtype", "`flags` needs dtype bool, got int64"),
        (
            "flags",
            torch.zeros(7, dtype=torch.bool, device="meta"),
            "wrong-device",
            "`flags` needs the device of `q`, cpu, got meta",
        ),
        (
            "doc",
            torch.tensor([[0, 0, 1, 1, 1], [0, 3, 2, 2, 0]]),
            "not-sorted",
            "`doc` is declared `sorted`, and decreases at [1, 2], from 3 to 2",
        ),
    ],
)  # fmt: skip
def test_arrays(name: str, value: object, code: str, message: str) -> None:
    found = mistake(given=arguments(**{name: value}))
    assert (found.code, found.message) == (code, message)


def test_a_size_follows_the_scalar_it_is_made_of() -> None:
    check_arguments(ATTENTION, *tensors(), arguments(window=1, bias=torch.zeros(4, 3)))
    assert (
        mistake(given=arguments(window=-3)).message
        == "`bias` has the dimension `2 * window + 1`, which is -5"
    )
    halves = spec("w: int", "x: float[N // w]")
    found = mistake(halves, given={"w": 0, "x": torch.zeros(2)})
    assert (found.code, found.message) == ("wrong-size", "`x` has the dimension `N // w`, which divides by 0")
    check_arguments(halves, *tensors(), {"w": 2, "x": torch.zeros(2)})
    check_arguments(spec("w: int", "x: float[abs(w - N)]"), *tensors(), {"w": 8, "x": torch.zeros(3)})


def test_a_constant_shape_is_said_once() -> None:
    found = mistake(spec("x: float[3]"), given={"x": torch.zeros(4)})
    assert found.message == "`x` needs shape [3], got [4]"


def test_the_order_of_a_sorted_array_need_not_be_checked() -> None:
    given = arguments(doc=torch.tensor([[0, 0, 1, 1, 1], [0, 3, 2, 2, 0]]))
    check_arguments(ATTENTION, *tensors(), given, check_sorted=False)


def test_sorted_arrays_of_one_or_no_element() -> None:
    attention = spec("x: sorted int[N]")
    for n in (0, 1):
        check_arguments(attention, *tensors(N=n), {"x": torch.zeros(n, dtype=torch.int32)})


# ---- the call as a whole ---------------------------------------------------------------------------


def test_grids() -> None:
    attention = spec(
        "rows: int", "cols: int", grid=("query y: rows", "query x: cols", "key y: rows", "key x: cols + 1")
    )
    check_arguments(attention, *tensors(N=6, M=8), {"rows": 2, "cols": 3})
    found = mistake(attention, qkv=tensors(N=7, M=8), given={"rows": 2, "cols": 3})
    assert (found.code, found.message) == (
        "wrong-grid",
        "the query grid [rows, cols] = [2, 3] needs the product N = 7",
    )
    found = mistake(attention, qkv=tensors(N=6, M=6), given={"rows": 2, "cols": 3})
    assert found.message == "the key grid [rows, cols + 1] = [2, 4] needs the product M = 6"
    found = mistake(attention, qkv=tensors(N=6, M=8), given={"rows": -2, "cols": -3})
    assert found.message == "the query grid has the dimension `rows`, which is -2"


def test_the_value_at_the_own_position_needs_self_attention() -> None:
    attention = spec(output="o + v_i")
    found = mistake(attention, given={})
    assert (found.code, found.message) == (
        "not-self-attention",
        "`v_i` needs as many keys as queries, got N = 5 and M = 7",
    )
    check_arguments(attention, *tensors(N=7, M=7), {})


def test_widths() -> None:
    attention = spec("w: int", "x: float[N, w]", score="dot(q, x[i, :])")
    check_arguments(attention, *tensors(), {"w": 6, "x": torch.zeros(5, 6)})
    found = mistake(attention, given={"w": 1, "x": torch.zeros(5, 1)})
    assert (found.code, found.message) == ("width-mismatch", "`dot` meets vectors of two widths, 6 and 1")
    added = spec("w: int", "x: float[N, w]", query="q * x[i, :]")
    assert mistake(added, given={"w": 1, "x": torch.zeros(5, 1)}).message == (
        "`*` meets vectors of two widths, 6 and 1"
    )
    chosen = spec("w: int", "x: float[N, w]", query="q if i == 0 else x[i, :]")
    assert mistake(chosen, given={"w": 1, "x": torch.zeros(5, 1)}).message == (
        "`if` meets vectors of two widths, 6 and 1"
    )
    other = spec("w: int", "x: float[N, w]", query="splat(2.0) * x[i, :]")
    assert mistake(other, given={"w": 3, "x": torch.zeros(5, 3)}).message == (
        "`query` must give a vector of width `D` = 6, got 3"
    )
    turned = spec(query="rope(q, real(i), 10.0)")
    assert mistake(turned, qkv=tensors(D=5), given={}).message == "`rope` needs a vector of even width, got 5"
