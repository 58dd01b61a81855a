"""Loss and gradient followed over samples, time steps, batches and checkpoints: how often the sign changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils._pytree as pytree

from nllcheck.axes import depends_on, label_of
from nllcheck.axes.boundary import boundary
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner, promoted
from nllcheck.capture.numerics import quiet_numerics
from nllcheck.target import Batch
from nllcheck.types import Event, Judged

LONG = 20  # values below which a runs test says nothing


@dataclass(frozen=True)
class Reading:
    """Loss and gradient at the model's raw outputs, for one batch and one checkpoint."""

    name: str
    loss: float
    gradients: tuple[torch.Tensor, ...]  # one a head, the head's shape


def heads_of(graph: LossGraph) -> tuple[int, ...]:
    """The nodes whose gradient is followed: the raw outputs, else whatever else can move."""
    edges = boundary(graph.graph)
    moving = edges.outputs or (*edges.inputs, *edges.weights)
    return tuple(n for n in moving if "float" in graph.graph.nodes[n].dtype)


def read(graph: LossGraph, tensors: Sequence[torch.Tensor], name: str, dtype: torch.dtype | None = None) -> Reading:
    """Run the captured program on other leaf values of the same shapes."""
    heads = heads_of(graph)
    runner = Runner(graph.module, dtype)
    starts = [promoted(t.detach().clone(), dtype) for t in tensors]
    for leaf, tensor in zip(graph.program.leaves, starts, strict=True):
        tensor.requires_grad_(tensor.is_floating_point() and leaf.role in ("weight", "input"))
    with quiet_numerics(graph.seed), torch.enable_grad():
        loss = runner.run(*starts)
        loss = loss[0] if isinstance(loss, (tuple, list)) else loss
        values = [runner.env[graph.fx_nodes[i]] for i in heads]
        found = iter(_gradients(loss, [v for v in values if v.requires_grad]))
    gradients = tuple((next(found) if v.requires_grad else torch.zeros_like(v)).detach().cpu() for v in values)
    return Reading(name, float(loss.detach()), gradients)


def _gradients(loss: torch.Tensor, values: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """One a value; zeros where the loss does not depend on it. A buffer, or what an argmin picks of it, has none."""
    if not loss.requires_grad or not values:
        return tuple(torch.zeros_like(v) for v in values)
    return torch.autograd.grad(loss, values, allow_unused=True, materialize_grads=True)


def read_all(
    graph: LossGraph, batches: Sequence[Batch], states: Sequence[tuple[str, Mapping[str, torch.Tensor]]]
) -> tuple[list[Reading], list[Reading]]:
    """Readings of several batches (or of several states of the model), in the graph's dtype and in float64.

    Batches of other shapes than the captured one are left out.
    """
    leaves = [_with_batch(graph, batch) for batch in batches] + [_with_state(graph, state) for _, state in states]
    names = [batch.name for batch in batches] + [name for name, _ in states]
    fits = [(name, tensors) for name, tensors in zip(names, leaves, strict=True) if tensors is not None]
    return [read(graph, t, n) for n, t in fits], [read(graph, t, n, torch.float64) for n, t in fits]


def _with_batch(graph: LossGraph, batch: Batch) -> list[torch.Tensor] | None:
    own = [leaf for leaf in graph.program.leaves if leaf.role in ("input", "target")]
    tensors = [t for t in pytree.tree_leaves((batch.args, dict(batch.kwargs), batch.targets)) if _is_tensor(t)]
    if [t.shape for t in tensors] != [leaf.value.shape for leaf in own]:
        return None
    rest = [leaf.value for leaf in graph.program.leaves if leaf.role not in ("input", "target")]
    return [*rest, *tensors]


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _with_state(graph: LossGraph, state: Mapping[str, torch.Tensor]) -> list[torch.Tensor] | None:
    def one(leaf: Any) -> torch.Tensor:
        found = state.get(leaf.name) if leaf.role in ("weight", "buffer") else None
        return leaf.value if found is None else found.to(leaf.value.device, leaf.value.dtype)

    return [one(leaf) for leaf in graph.program.leaves]


def over_samples(graph: LossGraph, reading: Reading, wide: Reading) -> list[Judged]:
    """Per head: the channel whose gradient changes sign most often from one sample or time step to the next.

    Rows of a parameter, or of what is computed from parameters alone, are no samples; and nobody trains what a model
    reads.
    """
    edges = boundary(graph.graph)
    given = {n.index for n in graph.graph.nodes if n.op == "input" and n.name not in graph.graph.weights}
    data = given - set(graph.graph.buffers)
    outputs = set(edges.outputs) & depends_on(graph.graph, data)
    shown = outputs if graph.program.model is not None else {*outputs, *edges.inputs}
    found = []
    for node, grad, exact in zip(heads_of(graph), reading.gradients, wide.gradients, strict=True):
        if node in shown and grad.dim() >= 2 and grad.numel() > grad.shape[-1] and bool(torch.isfinite(grad).all()):
            found += _head_series(graph, node, grad, exact)
    return found


def _head_series(graph: LossGraph, node: int, grad: torch.Tensor, exact: torch.Tensor) -> list[Judged]:
    rows, wide = grad.reshape(-1, grad.shape[-1]), exact.reshape(-1, exact.shape[-1])
    turns = _turns(grad)
    channel = int(turns.argmax())
    if int(turns[channel]) == 0:
        return []
    steps, what = _steps(grad)
    column = rows[:, channel]
    name = label_of(graph.graph, node)
    name = f"{name}[..., {channel}]" if rows.shape[1] > 1 else name
    same = bool((torch.sign(rows) * torch.sign(wide) >= 0).all())
    times = "once" if int(turns[channel]) == 1 else f"{int(turns[channel])} times"
    detail = f"{name}: the gradient changes sign {times} over {steps} {what}; {_sides(column)}"
    detail += f"; {_spread(column)}{_runs(grad[..., channel])}"
    event = Event("sign-flip", "backward", node, None, math.nan, None, detail=detail)
    return [_series_verdict(event, same, "at every sample")]


def _steps(grad: torch.Tensor) -> tuple[int, str]:
    if grad.dim() >= 3:  # of a sequence that is time; of anchors, draws or pixels it is not, and no shape tells
        what = f"steps along dimension {grad.dim() - 2}" + " (time, of a sequence)" * (grad.dim() == 3)
        return grad.reshape(-1, *grad.shape[-2:]).shape[0] * (grad.shape[-2] - 1), what
    return grad.shape[0] - 1, f"step{'' if grad.shape[0] == 2 else 's'} from sample to sample"


def _turns(grad: torch.Tensor) -> torch.Tensor:
    """Sign changes per channel along the last but one dimension, zeros left out of the count."""
    signs = torch.sign(grad)
    return (signs[..., 1:, :] * signs[..., :-1, :] < 0).reshape(-1, grad.shape[-1]).sum(0)


def _sides(column: torch.Tensor) -> str:
    up, down = column[column > 0], column[column < 0]
    sizes = [f"{len(s)} {w} (mean {float(s.mean()):.3g})" for s, w in ((up, "positive"), (down, "negative")) if len(s)]
    return ", ".join(sizes)


def _spread(column: torch.Tensor) -> str:
    """The mean over samples against its standard error."""
    column = column.double()
    error = float(column.std()) / math.sqrt(column.numel())
    ratio = abs(float(column.mean())) / error if error else math.inf
    return f"all together pull with {float(column.mean()):.3g}, {ratio:.3g} times the noise of {column.numel()} samples"


def _runs(series: torch.Tensor) -> str:
    """Do the signs come in longer stretches than by chance? Wald and Wolfowitz 1940, summed over series.

    `series` (..., T): signs are compared along the last dimension only.
    """
    rows = series.reshape(-1, series.shape[-1])
    up, down = (rows > 0).sum(-1).double(), (rows < 0).sum(-1).double()
    both = (up > 0) & (down > 0)
    n = (up + down)[both]
    product = 2 * (up * down)[both]
    found = float((_turns(rows[both][..., None])[0] + both.sum()) if bool(both.any()) else 0)
    expected = float((product / n + 1).sum())
    variance = float((product * (product - n) / (n * n * (n - 1)).clamp(min=1)).sum())
    if variance <= 0 or float(n.sum()) < LONG:
        return ""
    z = (found - expected) / math.sqrt(variance)
    if abs(z) < 2:
        return "; in what order the signs come looks like chance"
    return f"; the signs {'come in stretches' if z < 0 else 'alternate'} more than by chance (runs test, z = {z:.1f})"


def _series_verdict(event: Event, same: bool, where: str) -> Judged:
    if same:
        reason = f"float64 has the same sign {where}: samples pull to their own side of the optimum, no rounding"
        return Judged(event, "legitimate", 1.0, reason)
    return Judged(
        event, "undecided", 1.0, "float64 has another sign at some of them, where the gradient nearly vanishes"
    )


def over_readings(graph: LossGraph, readings: list[Reading], wide: list[Reading], what: str) -> list[Judged]:
    """Across batches or checkpoints: losses, how often they are negative, and the summed gradient's sign."""
    if len(readings) < 2:
        return []
    sums = torch.stack([torch.cat([summed(g) for g in r.gradients]) for r in readings])
    exact = torch.stack([torch.cat([summed(g) for g in r.gradients]) for r in wide])
    names = [name for node in heads_of(graph) for name in channel_names(graph, node)]
    turns = (torch.sign(sums[1:]) * torch.sign(sums[:-1]) < 0).sum(0)
    channel = int(turns.argmax())
    signs = "".join("+" if v > 0 else "-" if v < 0 else "0" for v in sums[:, channel].tolist())
    losses = ", ".join(f"{r.loss:.4g}" for r in readings)
    below = sum(r.loss < 0 for r in readings)
    detail = (
        f"over {len(readings)} {what} the summed gradient at {names[channel]} has signs {signs} "
        f"({int(turns[channel])} changes; {_sides(sums[:, channel])}); losses {losses} ({below} negative)"
    )
    event = Event("sign-flip", "backward", heads_of(graph)[0], None, math.nan, None, detail=detail)
    same = bool((torch.sign(sums) * torch.sign(exact) >= 0).all())
    return [_series_verdict(event, same, f"for each of the {what}")] if int(turns[channel]) or below else []


def summed(grad: torch.Tensor) -> torch.Tensor:
    """A gradient (N, ..., C) summed over everything but its channels: (C,); (N,) has one channel."""
    return grad.double().reshape(-1, grad.shape[-1]).sum(0) if grad.dim() > 1 else grad.double().sum().reshape(1)


def channel_names(graph: LossGraph, node: int) -> list[str]:
    """What reports call the channels of a head, one name each."""
    shape = graph.graph.nodes[node].shape
    name = label_of(graph.graph, node)
    return [f"{name}[..., {k}]" for k in range(shape[-1])] if len(shape) > 1 and shape[-1] > 1 else [name]
