"""Train a small character model, twice: with the module that attnc writes, and with its interpreter.

    python examples/train_chars.py

The text is the source of Python's own standard library, and the attention is `alibi.attn`, imported like a module. Its
slopes are learned, so the gradient of an array of the spec is at work too. Both runs start from the same weights and
see the same batches. The interpreter is quadratic and slow, and takes part in the first steps only; there the losses
have to agree.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

import attnc

sys.path.insert(0, str(Path(__file__).parent.parent))  # `examples` is a package, from wherever this is run
attnc.install_importer("examples")
from examples.alibi import alibi  # noqa: E402

Attend = Callable[..., Tensor]


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, attend: Attend) -> None:
        super().__init__()
        self.heads, self.attend = heads, attend
        self.inputs = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.slope = nn.Parameter(2.0 ** -torch.arange(1.0, heads + 1))

    def forward(self, x: Tensor) -> Tensor:
        parts = self.inputs(x).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        heads: Tensor = self.output(self.attend(q, k, v, slope=self.slope).transpose(1, 2).flatten(2))
        return heads


class Block(nn.Module):
    def __init__(self, width: int, heads: int, attend: Attend) -> None:
        super().__init__()
        self.attention = Attention(width, heads, attend)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norms[0](x))
        x = x + self.mlp(self.norms[1](x))
        return x


class Model(nn.Module):
    def __init__(self, characters: int, width: int, heads: int, layers: int, attend: Attend) -> None:
        super().__init__()
        self.embed = nn.Embedding(characters, width)
        self.blocks = nn.Sequential(*(Block(width, heads, attend) for _ in range(layers)))
        self.read = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, characters))

    def forward(self, text: Tensor) -> Tensor:
        """The mean loss of predicting each character from those before it, in nats."""
        logits = self.read(self.blocks(self.embed(text[:, :-1]))).double()  # so that small differences show
        return functional.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())

    def with_attention(self, attend: Attend) -> Model:
        """The same weights with another attention."""
        twin = copy.deepcopy(self)
        for part in twin.modules():
            if isinstance(part, Attention):
                part.attend = attend
        return twin


def read_library(size: int) -> tuple[Tensor, int]:
    """The first `size` characters of the standard library as numbers, and how many characters there are."""
    files = sorted(Path(os.__file__).parent.glob("*.py"))
    text = "".join(file.read_text(encoding="utf-8") for file in files)[:size]
    number = {character: n for n, character in enumerate(sorted(set(text)))}
    return torch.tensor([number[character] for character in text]), len(number)


def batches(text: Tensor, batch: int, context: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        starts = torch.randint(len(text) - context, (batch, 1), generator=generator)
        yield text[starts + torch.arange(context + 1)]


def train(model: Model, data: Iterator[Tensor]) -> Iterator[float]:
    """The loss before each step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for text in data:
        loss = model(text)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def main() -> None:
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, default, what in (
        ("steps", 250, "steps of training"),
        ("reference-steps", 8, "how many of them the interpreter takes too"),
        ("context", 128, "characters that the model sees"),
        ("batch", 8, "pieces of text in a step"),
        ("width", 64, "width of the model"),
        ("heads", 4, "attention heads"),
        ("layers", 2, "layers"),
        ("characters", 1_000_000, "how much of the standard library to read"),
        ("seed", 0, "seed of weights and batches"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=what)
    options = parser.parse_args()

    text, characters = read_library(options.characters)
    torch.manual_seed(options.seed)
    compiled = Model(characters, options.width, options.heads, options.layers, alibi)
    interpreted = compiled.with_attention(alibi.reference)
    runs = [
        train(model, batches(text, options.batch, options.context, options.seed))
        for model in (compiled, interpreted)
    ]
    print(f"{len(text)} characters of Python's library, {characters} different ones")
    print(f"{'step':>5} {'compiled':>10} {'interpreter':>12} {'difference':>11} {'seconds':>8}")
    start, largest = time.perf_counter(), 0.0
    for step in range(1, options.steps + 1):
        loss = next(runs[0])
        beside = ""
        if step <= options.reference_steps:
            reference = next(runs[1])
            largest = max(largest, abs(loss - reference))
            beside = f"{reference:12.6f} {abs(loss - reference):11.1e}"
        if beside or step % 25 == 0 or step == options.steps:
            print(f"{step:5} {loss:10.6f} {beside:24} {time.perf_counter() - start:8.1f}", flush=True)
    verdict = "agree" if largest < 1e-4 else "do not agree"
    print(f"the compiled module and the interpreter {verdict}: their losses differ by {largest:.1e} at most")
    sys.exit(verdict != "agree")


if __name__ == "__main__":
    main()
