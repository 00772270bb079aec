"""Modules that compute what torch's own do, in less time on the CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)


def accelerate(network: nn.Module) -> nn.Module:
    """Replace slow modules inside a network by fast ones that compute the same; return it.

    An average pooling that keeps the resolution and leaves the padding out of its means takes a
    third of its time, there and back, as a depthwise convolution with a constant kernel. One whose
    windows do not overlap spreads its gradient faster as an enlargement.
    """
    for name, module in network.named_children():
        if type(module) is not nn.AvgPool2d:
            accelerate(module)
            continue
        size = _square(module)
        if size and _keeps_size(module, size):
            setattr(network, name, SameAvgPool(size))
        elif size and _tiles(module, size):
            setattr(network, name, TiledAvgPool(size))
    return network


def keep_channels_last(network: nn.Module) -> nn.Module:
    """Keep the gradients of a network in the memory format of its images; return the network.

    A global pooling or a mean spreads its gradient channel by channel, and then everything below
    it would run backwards in the slow format, several times as long.
    """
    for module in network.modules():
        if not any(module.children()):
            module.register_forward_hook(_hook_gradient)
    return network


def _hook_gradient(_module: nn.Module, _inputs: object, output: object) -> None:
    if isinstance(output, torch.Tensor) and output.dim() == 4 and output.requires_grad:
        output.register_hook(_channels_last)  # type: ignore[no-untyped-call]


def _channels_last(grad: torch.Tensor) -> torch.Tensor:
    return grad.contiguous(memory_format=torch.channels_last)


def _square(module: nn.AvgPool2d) -> int | None:
    """Return the size of the window, if it is a square and its mean is a plain one."""
    sizes = {module.kernel_size} if isinstance(module.kernel_size, int) else {*module.kernel_size}
    return min(sizes) if len(sizes) == 1 and module.divisor_override is None else None


def _keeps_size(module: nn.AvgPool2d, size: int) -> bool:
    half = size // 2
    same = module.stride in (1, (1, 1)) and module.padding in (half, (half, half))
    return same and size % 2 == 1 and not module.count_include_pad


def _tiles(module: nn.AvgPool2d, size: int) -> bool:
    side_by_side = module.stride in (size, (size, size)) and module.padding in (0, (0, 0))
    return side_by_side and module.ceil_mode


class TiledAvgPool(nn.Module):
    """Average pooling whose windows lie side by side; the last may stand out over the border.

    Maps `(N, C, H, W)` to `(N, C, H / k, W / k)`, rounded up, as torch's does with `ceil_mode`.
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean of each window."""
        size = self.kernel_size
        if x.shape[-2] % size or x.shape[-1] % size:
            return F.avg_pool2d(x, size, ceil_mode=True)
        averaged: torch.Tensor = _TiledAvgPool.apply(x, size)  # type: ignore[no-untyped-call]
        return averaged


class _TiledAvgPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, size: int) -> torch.Tensor:  # noqa: ANN401
        ctx.size = size
        return F.avg_pool2d(x, size)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401
        return F.interpolate(grad / ctx.size**2, scale_factor=float(ctx.size)), None


class SameAvgPool(nn.Module):
    """Average pooling of stride 1 that keeps the resolution; padding is not part of the means.

    Maps `(N, C, H, W)` to the same shape.
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean of each window."""
        averaged: torch.Tensor = _SameAvgPool.apply(x, self.kernel_size)  # type: ignore[no-untyped-call]
        return averaged


class _SameAvgPool(torch.autograd.Function):
    """The window sum is its own adjoint, so both directions are one depthwise convolution."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, size: int) -> torch.Tensor:  # noqa: ANN401
        ctx.size = size
        ctx.shares = _shares(x, size)
        return _window_sums(x, size).mul_(ctx.shares)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401
        return _window_sums(grad * ctx.shares, ctx.size), None


def _window_sums(x: torch.Tensor, size: int) -> torch.Tensor:
    channels = x.shape[1]
    ones = torch.ones(channels, 1, size, size, dtype=x.dtype, device=x.device)
    return F.conv2d(x, ones, padding=size // 2, groups=channels)


def _shares(x: torch.Tensor, size: int) -> torch.Tensor:
    """Return `(H, W)`: one over the number of pixels in each window."""
    one = torch.ones(1, 1, *x.shape[2:], device=x.device)
    return (1 / _window_sums(one, size))[0, 0].to(x.dtype)
