"""How much of the gradient's sign is Monte-Carlo noise: the loss' own noise drawn anew, everything else fixed."""

from __future__ import annotations

import math

import torch

from nllcheck.axes import depends_on
from nllcheck.axes.noise import noise_of
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import plain_kernels, quiet_numerics
from nllcheck.judge.series import channel_names, heads_of, summed
from nllcheck.sweep.joint import joint_graph
from nllcheck.sweep.watch import chunk_size
from nllcheck.types import Event, Judged

DRAWS = 256


def over_noise(graph: LossGraph, memory: int) -> list[Judged]:
    """One finding where redrawing the noise `DRAWS` times turns the sign of a summed gradient, else none."""
    noise = noise_of(graph)
    heads = tuple(h for h in heads_of(graph) if h not in depends_on(graph.graph, set(noise)))
    if not heads or not noise:
        return []
    loss, sums = redrawn(graph, heads, noise, memory)
    names = [name for node in heads for name in channel_names(graph, node)]
    up, down = (sums > 0).sum(0), (sums < 0).sum(0)
    channel = int(torch.minimum(up, down).argmax())
    if int(torch.minimum(up, down)[channel]) == 0:
        return []
    low, high = wilson(int(up[channel]), DRAWS)
    detail = (
        f"with only the loss' noise drawn anew, {DRAWS} times, the summed gradient at {names[channel]} is positive in "
        f"{100 * int(up[channel]) / DRAWS:.0f} % (95 % interval {100 * low:.0f} to {100 * high:.0f} %); "
        f"the loss is {float(loss.mean()):.4g} ± {float(loss.std()):.2g}"
    )
    event = Event("sign-flip", "backward", heads[0], None, math.nan, None, detail=detail)
    return [Judged(event, "legitimate", 1.0, "Monte-Carlo noise: more draws a step make it rarer")]


def redrawn(
    graph: LossGraph, heads: tuple[int, ...], noise: tuple[int, ...], memory: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses (R,) and the heads' summed gradients (R, C) for R = `DRAWS` fresh draws of the noise, vectorised in chunks
    within `memory` bytes."""
    joint = joint_graph(graph, (*heads, *noise), graph.seed)
    runner = Runner(joint.module)

    def once(*drawn: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loss, *gradients = runner.run(*joint.base[: len(heads)], *drawn)
        return loss, torch.cat([summed(g) for g in gradients[: len(heads)]])

    with quiet_numerics(graph.seed), torch.no_grad(), plain_kernels():
        drawn = [_draws(graph, i) for i in noise]
        loss, sums = torch.vmap(once, chunk_size=chunk_size(joint, memory, None))(*drawn)
    return loss, sums


def _draws(graph: LossGraph, index: int) -> torch.Tensor:
    node = graph.fx_nodes[index]
    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), lambda n: graph.values[graph.fx_nodes.index(n)])
    return torch.stack([node.target(*args, **kwargs) for _ in range(DRAWS)])  # type: ignore[operator]


def wilson(successes: int, draws: int, z: float = 1.96) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927)."""
    p, n = successes / draws, draws
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
