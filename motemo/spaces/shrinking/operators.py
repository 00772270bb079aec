"""What each node of a traced network does to sizes."""

from __future__ import annotations

from typing import Any

import torch

from motemo.spaces.shrinking.calls import Call, constants
from motemo.spaces.shrinking.functions import OPERATORS
from motemo.spaces.shrinking.modules import module_axes
from motemo.spaces.shrinking.sizes import constant


def axes_of(call: Call) -> Any:  # noqa: ANN401  (axes, nested as the result is)
    """Return the axes of the result of a call, and note what the call binds."""
    match call.node.op:
        case "placeholder":
            return constants(call.result)
        case "output":
            return call.unknown()
        case "get_attr":
            return _parameter(call)
        case "call_module":
            module = call.followed.graph.get_submodule(str(call.node.target))
            return module_axes(call, module)
    target = call.node.target
    name = target if isinstance(target, str) else getattr(target, "__name__", "")
    handler = OPERATORS.get(str(name).strip("_"))
    if not _gives_tensors(call.result):
        return None
    takes = call.node.args[0] if call.node.args else None
    takes_tensors = isinstance(takes, list | tuple) or call.first is not None
    return handler(call) if handler and takes_tensors else call.unknown()


def _gives_tensors(result: object) -> bool:
    if isinstance(result, torch.Size):
        return False
    if isinstance(result, list | tuple):
        return any(map(_gives_tensors, result))
    return isinstance(result, torch.Tensor)


def _parameter(call: Call) -> Any:  # noqa: ANN401
    """A parameter's own axes are widths only if they turn out to be those of layers."""
    tensor = call.result
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
        return constants(tensor)
    path = str(call.node.target)
    if path not in call.followed.parameters:
        call.followed.parameters[path] = [
            call.sizes.new(size) if size > 1 else constant(size) for size in tensor.shape
        ]
    return call.followed.parameters[path]
