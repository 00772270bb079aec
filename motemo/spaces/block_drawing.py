"""What pictures of chains of blocks show: inverted residuals, attention, fixed layers."""

from __future__ import annotations

from collections.abc import Sequence

from motemo.drawing import Block, Chain, Kind, Operation, Stage

MOBILE_REMARK = "Colour: kernel. Width: channels. Height: expansion."

_KERNELS: dict[int, Kind] = {1: "conv_1", 3: "conv_3", 5: "conv_5", 7: "conv_7"}


def inverted_residual(
    kernel: int, expansion: int, *, width: float, height: float, groups: int = 1, name: str = ""
) -> Block:
    """Return a block with its kernel and expansion.

    Args:
        kernel: Side of the filters.
        expansion: The filters have so many times the channels of the input.
        width: Channels, as a share of the most that there can be.
        height: Expansion, as a share of the largest that there can be.
        groups: Groups of the 1x1 convolutions.
        name: The published name, if there is one.
    """
    label = f"{kernel}×{kernel} e{expansion}" + (f" g{groups}" if groups > 1 else "")
    said = name or f"{kernel}x{kernel} filters, expansion {expansion}"
    return Block(Operation(label, _KERNELS[kernel], said), width, height)


def attention(label: str, *, width: float = 0.0, height: float = 0.0) -> Block:
    """Return a block of attention and perceptron; width and height as for the others."""
    return Block(Operation(label, "attention", f"attention, {label}"), width, height)


def fixed(name: str, *labels: str, remark: str = "") -> Stage:
    """Return a stage of layers that are not searched."""
    return Stage(tuple(Block(Operation(label)) for label in labels), name, remark)


def shape_remark(channels: int, stride: int = 1, *others: str) -> str:
    """Return a remark such as `24 channels, /2`; strides divide the resolution."""
    halving = (f"/{stride}",) if stride > 1 else ()
    return ", ".join((f"{channels} channels", *halving, *others))


def mobile_chain(stages: Sequence[Stage]) -> Chain:
    """Return a network of inverted residuals."""
    return Chain("network", tuple(stages), MOBILE_REMARK)
