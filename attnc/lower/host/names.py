"""What every launcher knows by name: the tensors and sizes of a call, and how kernels are launched."""

from __future__ import annotations

from attnc.kernel.build import function
from attnc.kernel.expressions import Var
from attnc.lower.torch_terms import torch

Q, K, V = (Var(name) for name in ("q", "k", "v"))
TILES, OPTIONS, LARGE, AGAIN = (Var(name) for name in ("tiles", "options", "large", "again"))
B, H, HKV, N, M, DV = (Var(name) for name in ("B", "H", "HKV", "N", "M", "DV"))
FLOAT32 = torch.value("float32")
ON_DEVICE = function(torch.value("cuda").attr("device_of"))(Q)
