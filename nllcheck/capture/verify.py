"""Is the captured graph the user's loss? Compared with eager runs on the batch and on moved weights and inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch

from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import quiet_numerics
from nllcheck.capture.program import Program

FACTORS = (1.0, 0.5, 1.5, -1.0, 4.0)  # the batch itself, then weights and inputs scaled
DRAWS = 4  # with noise of their own size, where the values select: how many are selected changes


def disagreements(graph: LossGraph) -> tuple[str, ...]:
    """Where graph and eager differ, in words; empty when the capture is faithful as far as it was tried.

    A user function that raises at a moved point (validation) is not compared there.
    """
    found = []
    for factor in FACTORS:
        where = "on the batch" if factor == 1.0 else f"with weights and inputs times {factor:g}"
        found += _difference(graph, _moved(graph.program, partial(torch.mul, other=factor)), where)
    draws = torch.Generator().manual_seed(graph.seed)
    for _ in range(DRAWS if graph.module.meta.get("padded") else 0):
        found += _difference(graph, _moved(graph.program, lambda t: t + _noise(t, draws)), "with noise")
    return tuple(found)


def _moved(program: Program, move: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
    """The leaves, floating weights and inputs moved."""
    moves = (leaf.role in ("weight", "input") and leaf.value.is_floating_point() for leaf in program.leaves)
    return [move(leaf.value) if m else leaf.value for leaf, m in zip(program.leaves, moves, strict=True)]


def _difference(graph: LossGraph, tensors: Sequence[torch.Tensor], where: str) -> list[str]:
    try:
        loss, gradients = eager(graph.program, tensors, graph.seed)
    except Exception:
        return []
    if selects_nothing(graph, tensors):
        return []
    other, others = replayed(graph, tensors)
    if not _close(loss, other):
        return [f"{where} the loss is {loss:.7g}, the captured graph gives {other:.7g}"]
    if math.isfinite(loss) and not close_gradients(gradients, others):
        return [f"{where} the captured graph gives another gradient"]
    return []


def selects_nothing(graph: LossGraph, tensors: Sequence[torch.Tensor]) -> bool:
    """Is it a point where a selection is empty that the code asks about? There it may do anything (see `asked`)."""
    names = [name for name, _ in graph.module.meta.get("asked", ())]
    if not names:
        return False
    runner = Runner(graph.module)
    with quiet_numerics(graph.seed), torch.no_grad():
        runner.run(*tensors)
    return any(not bool(value) for node, value in runner.env.items() if node.name in names)


def _noise(t: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    return torch.randn(t.shape, generator=draws).to(t) * t.square().mean().sqrt()


def eager(program: Program, tensors: Sequence[torch.Tensor], seed: int) -> tuple[float, list[torch.Tensor]]:
    """Loss and gradients of all floating leaves from the user's own code."""
    starts = _starts(program, tensors)
    wanted = _trained(starts)  # before the code can ask for a gradient of its data
    with quiet_numerics(seed), torch.enable_grad(), program.holding(*starts):
        loss = program.call(*starts)
        return _graded(loss, wanted)


def replayed(graph: LossGraph, tensors: Sequence[torch.Tensor]) -> tuple[float, list[torch.Tensor]]:
    """The same from the captured graph."""
    starts = _starts(graph.program, tensors)
    with quiet_numerics(graph.seed), torch.enable_grad():
        loss = Runner(graph.module).run(*starts)
        return _graded(loss[0] if isinstance(loss, (tuple, list)) else loss, _trained(starts))


def _starts(program: Program, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    fresh = [t.detach().clone() for t in tensors]
    for leaf, tensor in zip(program.leaves, fresh, strict=True):
        tensor.requires_grad_(tensor.is_floating_point() and leaf.role in ("weight", "input"))
    return fresh


def _trained(starts: list[torch.Tensor]) -> list[torch.Tensor]:
    return [t for t in starts if t.requires_grad]


def _graded(loss: torch.Tensor, wanted: list[torch.Tensor]) -> tuple[float, list[torch.Tensor]]:
    if not loss.requires_grad or not wanted:
        return float(loss.detach()), []
    grads = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    return float(loss.detach()), [g.detach() for g in grads]


def _close(a: float, b: float) -> bool:
    if math.isfinite(a) and math.isfinite(b):
        return abs(a - b) <= 1e-3 * max(abs(a), abs(b), 1e-3)
    return (math.isnan(a) and math.isnan(b)) or a == b or (not math.isfinite(a) and not math.isfinite(b))


ROUNDING = 2e-6  # of the largest slope: what is left where a sum of such slopes is 0, of a bias before a batch norm


def close_gradients(some: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> bool:
    """Are they the same but for rounding?"""
    sizes = [float(g.abs().amax()) for g in some if g.numel()]
    noise = ROUNDING * max((s for s in sizes if math.isfinite(s)), default=0.0)
    return all(_close_tensors(a, b, noise) for a, b in zip(some, others, strict=True))


def _close_tensors(a: torch.Tensor, b: torch.Tensor, noise: float) -> bool:
    if not a.numel():
        return True
    if not _is_finite(a) or not _is_finite(b):
        finite = torch.isfinite(a)
        if not torch.equal(finite, torch.isfinite(b)):
            return False
        a, b = a.where(finite, 0), b.where(finite, 0)
    return bool((a - b).abs_().amax() <= (2e-2 * a.abs().amax()).clamp(min=max(2e-8, noise)))


def _is_finite(value: torch.Tensor) -> bool:
    low, high = torch.aminmax(value)
    return math.isfinite(low) and math.isfinite(high)
