"""How many threads the CPU path takes: all where the machine is idle, one where others want every processor."""

from __future__ import annotations

import builtins
import io
import os
from typing import Any

import pytest
import torch
from kernel_checks import compile_text

from attnc.evaluate import load_evaluated

WINDOW = "attention window(size: int = 9):\n    mask j <= i and i - j < size\n"


def load(monkeypatch: pytest.MonkeyPatch, files: dict[str, str], processors: int = 8) -> Any:
    """A module of its own, for a machine that says this of itself."""
    module = load_evaluated.__wrapped__("window", compile_text(WINDOW).module)

    def open_(name: str, *rest: Any) -> Any:
        if str(name).startswith(("/proc/", "/sys/")):
            if name not in files:
                raise FileNotFoundError(name)
            return io.StringIO(files[name])
        return builtins.open(name, *rest)

    monkeypatch.setitem(vars(module), "open", open_)
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    return module


@pytest.mark.parametrize(
    ("files", "threads", "spare"),
    [
        ({"/proc/loadavg": "0.5 0.4 0.3 1/90 4242"}, 8, 8),
        ({"/proc/loadavg": "0.5 0.4 0.3 8/90 4242"}, 8, 8),  # our own
        ({"/proc/loadavg": "0.5 0.4 0.3 12/90 4242"}, 8, 4),
        ({"/proc/loadavg": "0.5 0.4 0.3 40/90 4242"}, 8, -24),
        ({"/proc/loadavg": "0.5 0.4 0.3 1/90 4242", "/sys/fs/cgroup/cpu.max": "200000 100000\n"}, 8, 2),
        ({"/proc/loadavg": "0.5 0.4 0.3 1/90 4242", "/sys/fs/cgroup/cpu.max": "max 100000\n"}, 8, 8),
        ({"/proc/loadavg": "who knows"}, 8, 8),
        ({}, 8, 8),
    ],
)
def test_processors(monkeypatch: pytest.MonkeyPatch, files: dict[str, str], threads: int, spare: int) -> None:
    assert load(monkeypatch, files)._spare_processors(threads) == spare


@pytest.mark.parametrize(("running", "taken"), [(1, 8), (12, 4), (99, 1)])
def test_a_call_takes_what_is_spare_and_gives_it_back(
    monkeypatch: pytest.MonkeyPatch, running: int, taken: int
) -> None:
    module = load(monkeypatch, {"/proc/loadavg": f"0.5 0.4 0.3 {running}/200 4242"})
    now = [8]
    monkeypatch.setattr(torch, "get_num_threads", lambda: now[-1])
    monkeypatch.setattr(torch, "set_num_threads", now.append)
    q = torch.randn(1, 4, 200, 64, requires_grad=True)
    out = module.window(q, q, q)
    assert now == [8, taken, 8]
    torch.autograd.grad(out.sum(), q)
    assert now == [8, taken, 8, taken, 8]
    module.window(*[torch.randn(1, 2, 20, 64)] * 3)  # too small to ask
    with torch.no_grad():
        torch.use_deterministic_algorithms(True)
        try:
            module.window(q, q, q)
        finally:
            torch.use_deterministic_algorithms(False)
    assert now == [8, taken, 8, taken, 8]


def test_a_call_that_fails_gives_them_back(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(monkeypatch, {"/proc/loadavg": "0.5 0.4 0.3 99/200 4242"})
    now = [8]
    monkeypatch.setattr(torch, "get_num_threads", lambda: now[-1])
    monkeypatch.setattr(torch, "set_num_threads", now.append)
    monkeypatch.setitem(vars(module), "_steps", None)
    with pytest.raises(TypeError, match="not callable"):
        module.window(*[torch.randn(1, 4, 200, 64)] * 3)
    assert now == [8, 1, 8]
