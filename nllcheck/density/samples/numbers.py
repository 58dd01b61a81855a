"""What the loss computes of a sample's target on the way: several numbers a sample, as a mixture's components give."""

from __future__ import annotations

import torch
from torch import fx

from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import plain_kernels
from nllcheck.density.samples.prune import needed, until
from nllcheck.density.samples.sample import WIDE, Samples


def numbers(
    samples: Samples, target: torch.Tensor, theta: tuple[torch.Tensor, ...], most: int
) -> tuple[torch.Tensor, ...]:
    """(Q, P, N, k) of each node that reads the target and has k numbers for each sample, k from 2 to `most`.

    Arguments as of `Samples.losses`; nothing where a network reads the target. Raises SpentError.
    """
    terms, _, elements = samples.by_target
    below = needed([t.node for t in terms]) & samples.tail.on_target
    wanted = [n for n in samples.module.graph.nodes if n in below and _is_by_sample(samples, n, most)]
    if samples.has_layers or not wanted:
        return ()
    short = until(samples.module, wanted)
    samples.allowance.spend(len(short.graph.nodes), target.shape[0] * target.shape[1] * elements)

    def at(y: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values = Runner(short, WIDE).run(*rest[: samples.which], y, *rest[samples.which + 1 :])
        return tuple(v.reshape(samples.count, -1) for v in values)

    with torch.no_grad(), plain_kernels():
        return samples.over_targets(at, samples.whole(target), theta)  # type: ignore[no-any-return]


def _is_by_sample(samples: Samples, node: fx.Node, most: int) -> bool:
    value, shape = samples.values.get(node), samples.shape
    if node.op != "call_function" or not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return False
    leads = value.shape[: len(shape)] == shape or value.shape[:1] == (samples.count,)
    return leads and 2 * samples.count <= value.numel() <= most * samples.count
