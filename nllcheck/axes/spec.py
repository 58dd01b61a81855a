"""`--sweep NAME=LOW:HIGH[:COUNT][:log]` -> an axis and its points."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any

import torch

from nllcheck.axes import _channel_axes, default_axes, depends_on, whole_axis
from nllcheck.axes.boundary import Boundary, boundary
from nllcheck.axes.inside import inside_axes
from nllcheck.axes.view import View
from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.graphs import ancestors
from nllcheck.names import short_label
from nllcheck.types import Axis

_FORM = "NAME=LOW:HIGH, NAME=LOW:HIGH:COUNT or NAME=LOW:HIGH:COUNT:log, for example rho=-1:1:1001"
_CHANNEL = re.compile(r"(?P<name>.+?)\[\.\.\.,\s*(?P<start>-?\d+)(?::(?P<stop>-?\d+))?\]$")


# After a `*`: how a named value moves, if it is not set throughout, and where on such an axis the batch lies.
_MODES: dict[str, dict[str, Any]] = {
    "": {},
    "scale": {"mode": "scale", "observed": (1.0, 1.0)},
    "noise": {"mode": "noise", "observed": (0.0, 0.0)},
}


@dataclass(frozen=True, slots=True)
class Spec:
    """A parsed sweep: which values of which name."""

    name: str
    low: float
    high: float
    count: int = 1001
    log: bool = False


def parse(text: str) -> Spec:
    """Read one `--sweep` argument. Raises NllcheckError that shows the form."""
    name, equals, rest = text.partition("=")
    parts = rest.split(":")
    log = parts[-1] == "log"
    numbers = parts[:-1] if log else parts
    if not (name and equals and 2 <= len(numbers) <= 3):
        raise NllcheckError(f"cannot read the sweep '{text}'", hint=f"write {_FORM}")
    try:
        spec = Spec(name.strip(), float(numbers[0]), float(numbers[1]), int((numbers[2:] or ["1001"])[0]), log)
    except ValueError as error:
        raise NllcheckError(f"cannot read the sweep '{text}': {error}", hint=f"write {_FORM}") from None
    return _checked(spec, text)


def _checked(spec: Spec, text: str) -> Spec:
    if not (math.isfinite(spec.low) and math.isfinite(spec.high) and spec.low < spec.high):
        raise NllcheckError(f"the sweep '{text}' needs finite LOW < HIGH", hint=f"write {_FORM}")
    if spec.log and spec.low <= 0:
        raise NllcheckError(f"the logarithmic sweep '{text}' needs LOW > 0", hint="drop ':log' or raise LOW")
    if not 2 <= spec.count <= 10_000_000:
        raise NllcheckError(f"the sweep '{text}' needs between 2 and 10,000,000 points", hint=f"write {_FORM}")
    return spec


def spec_points(spec: Spec, dtype: torch.dtype) -> torch.Tensor:
    """Ascending distinct points (P,) of the requested range, in `dtype`."""
    if spec.log:
        values = torch.logspace(math.log10(spec.low), math.log10(spec.high), spec.count, dtype=torch.float64)
    else:
        values = torch.linspace(spec.low, spec.high, spec.count, dtype=torch.float64)
    rounded = values.to(dtype)
    return torch.unique(rounded[torch.isfinite(rounded)] + 0.0)


def requested_axis(graph: View, spec: Spec) -> Axis:
    """The axis a sweep names: a default axis, any named value that reaches the loss, or a channel of one.

    Raises NllcheckError with exit code 4 and a did-you-mean when nothing has that name.
    """
    wanted = spec.name.replace(" ", "")
    edges = boundary(graph.graph)
    for axis in (*default_axes(graph)[0], *inside_axes(graph, "thorough")[0]):
        if wanted in (axis.selector, axis.label.replace(" ", ""), short_label(axis.label)):
            free = axis.domain if axis.mode == "toward" else (-math.inf, math.inf)
            return replace(axis, requested=True, domain=free)
    wanted, _, how = wanted.partition("*")
    if how not in _MODES:
        raise NllcheckError(f"there is no way '*{how}' to move '{wanted}'", hint="write NAME, NAME*scale or NAME*noise")
    channel = _CHANNEL.match(wanted)
    name = channel["name"] if channel else wanted
    group = _module(graph, name) if how and not channel and name not in _known(graph) else ()
    node, *with_it = group or (_named_node(graph, name, edges),)
    role = "weight" if node in graph.graph.buffers else _role(node, edges)  # asked for, a buffer moves, too
    axis = replace(whole_axis(graph, node, role), requested=True, domain=(-math.inf, math.inf))
    axis = _on_channel(graph, axis, channel) if channel else axis
    axis = replace(axis, label=name, selector=name, with_it=tuple(with_it)) if group else axis
    label = {"": axis.label, "scale": f"{axis.label} × scale", "noise": f"{axis.label} + noise"}[how]
    return replace(axis, label=label, selector=f"{axis.selector}*{how}".removesuffix("*"), **_MODES[how])


def _module(graph: View, name: str) -> tuple[int, ...]:
    """The parameters of the model's part of that name ("head", "body.0") that the loss depends on."""
    read, weights = ancestors(graph.graph, graph.graph.loss), graph.graph.weights
    own = (n for n in graph.graph.nodes if n.name in weights and n.name.startswith(f"{name}."))
    return tuple(n.index for n in own if n.index in read and "float" in n.dtype)


def _on_channel(graph: View, axis: Axis, channel: re.Match[str]) -> Axis:
    shape = graph.graph.nodes[axis.node].shape
    width = shape[-1] if shape else 1
    start = int(channel["start"]) % width if -width <= int(channel["start"]) < width else -1
    stop = int(channel["stop"]) if channel["stop"] else start + 1
    if start < 0 or not start < stop <= width:
        raise NllcheckError(
            f"'{axis.selector}' has {width} channels, so '{channel[0]}' does not exist",
            hint=f"choose 0 to {width - 1}",
            exit_code=4,
        )
    label = f"{axis.label}[..., {start if stop == start + 1 else f'{start}:{stop}'}]"
    value = graph.values[axis.node][..., start:stop]
    seen = (float(value.min()), float(value.max()))
    return replace(axis, label=label, selector=label.replace(" ", ""), channel=(start, stop), observed=seen)


def _named_node(graph: View, name: str, edges: Boundary) -> int:
    """The last node of that name that the loss depends on through what can move."""
    known = _known(graph)
    if name in known:
        return known[name]
    selectors = {a.selector for n in edges.outputs for a in _channel_axes(graph, n, "output", edges)}
    raise NllcheckError(
        f"there is nothing named '{name}' to sweep", hint=did_you_mean(name, set(known) | selectors), exit_code=4
    )


def _known(graph: View) -> dict[str, int]:
    live = depends_on(graph.graph, {n.index for n in graph.graph.nodes if n.op == "input"})
    return {str(n.name): n.index for n in graph.graph.nodes if n.name and n.index in live and "float" in n.dtype}


def _role(node: int, edges: Boundary) -> str:
    for role in ("outputs", "weights", "inputs", "targets"):
        if node in getattr(edges, role):
            return role[:-1]
    return "intermediate"
