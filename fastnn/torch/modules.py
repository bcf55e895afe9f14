"""The layers of fastnn that torch.nn does not have, as modules: their masks and noise are drawn by PyTorch."""

from __future__ import annotations

import math
from typing import Any

from fastnn_ref.shared.optional import optional

torch: Any = optional("torch", extra="torch")


class Residual(torch.nn.Module):
    """y = x + block(x)."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Any) -> Any:
        return x + self.block(x)


class StochasticDepth(Residual):
    """y = x + block(x); in training the block is left out with probability ``p``, else multiplied by 1/(1 − p)."""

    def __init__(self, block: Any, p: float, mode: str = "batch") -> None:
        super().__init__(block)
        self.p, self.mode = p, mode

    def forward(self, x: Any) -> Any:
        if not self.training or self.p == 0:
            return super().forward(x)
        draws = (len(x) if self.mode == "row" else 1, *[1] * (x.ndim - 1))
        kept = torch.rand(draws, device=x.device) >= self.p
        if self.mode == "batch" and not kept.any():
            return x
        return x + torch.where(kept, self.block(x) / (1 - self.p or 1.0), 0.0)     # p = 1 keeps nothing

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode!r}"


class Parallel(torch.nn.ModuleList):
    """The outputs of branches on the same x side by side, or with ``merge="add"`` their sum."""

    def __init__(self, *branches: Any, merge: str = "concat") -> None:
        super().__init__(branches)
        self.merge = merge

    def forward(self, x: Any) -> Any:
        ys = [branch(x) for branch in self]
        return torch.cat(ys, dim=1) if self.merge == "concat" else sum(ys[1:], ys[0])

    def extra_repr(self) -> str:
        return f"merge={self.merge!r}"


class Select(torch.nn.Module):
    """y = x[:, start:stop]."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x: Any) -> Any:
        return x[:, self.start:self.stop]

    def extra_repr(self) -> str:
        return f"{self.start}, {self.stop}"


class Embedding(torch.nn.Embedding):
    """PyTorch's Embedding that takes whole numbers in floats, too, as they come in the inputs of a net."""

    def forward(self, x: Any) -> Any:
        return super().forward(x.round().long())


class FrozenBatchNorm1d(torch.nn.BatchNorm1d):
    """A BatchNorm that normalises by its running statistics in training, too, and never changes them."""

    def train(self, mode: bool = True) -> Any:
        return super().train(False)


class FrozenBatchNorm2d(torch.nn.BatchNorm2d):
    """A BatchNorm that normalises by its running statistics in training, too, and never changes them."""

    def train(self, mode: bool = True) -> Any:
        return super().train(False)


class GaussianNoise(torch.nn.Module):
    """y = x + std · n in training, n drawn from the normal distribution; y = x otherwise."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: Any) -> Any:
        return x + self.std * torch.randn_like(x) if self.training and self.std > 0 else x

    def extra_repr(self) -> str:
        return f"std={self.std}"


class DropConnect(torch.nn.Linear):
    """A Linear whose weights are zeroed with probability ``p`` in training and otherwise multiplied by 1/(1 − p).

    ``inference="gaussian"`` predicts the mean over all masks, of relu's output if ``relu``; ``"mean"`` uses the
    weights.
    """

    def __init__(self, in_features: int, out_features: int, p: float = 0.5, mask: str = "example",
                 inference: str = "gaussian", bias: bool = True, relu: bool = False, dtype: Any = None) -> None:
        super().__init__(in_features, out_features, bias, dtype=dtype)
        self.p, self.mask, self.inference, self.relu = p, mask, inference, relu

    def forward(self, x: Any) -> Any:
        if self.training and self.p > 0:
            masks = len(x) if self.mask == "example" else 1
            kept = torch.rand((masks, *self.weight.shape), device=x.device) >= self.p
            w = torch.where(kept, self.weight / (1 - self.p) if self.p < 1 else 0.0, 0.0).to(x.dtype)
            u = torch.einsum("ni,noi->no", x, w.expand(len(x), -1, -1))
            u = u if self.bias is None else u + self.bias
            return u.relu() if self.relu else u
        mean = super().forward(x)
        if not self.relu:
            return mean
        sigma = (self.p / (1 - self.p) * (x**2) @ (self.weight**2).T).sqrt()
        z = mean / sigma.clamp(min=torch.finfo(x.dtype).tiny)
        density = torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        expected = mean * 0.5 * torch.erfc(-z / math.sqrt(2)) + sigma * density
        return torch.where(sigma > 0, expected, mean.relu())

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p}, mask={self.mask!r}, inference={self.inference!r}, relu={self.relu}"
