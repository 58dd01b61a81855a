"""Posteriors that a graph shows: what is drawn as mu + scale * noise, and the concentrations of a divergence.

A draw is read from the graph's own numbers: the noise is moved through its quantiles, and (z - mu) / scale tells the
family. Concentrations of a gamma or Dirichlet distribution need no draw: nothing else takes lgamma and digamma of one
number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nllcheck.axes import depends_on
from nllcheck.axes.labels import shown
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import is_fixed
from nllcheck.density.samples.running import run_at
from nllcheck.density.samples.sample import WIDE
from nllcheck.graphs import refs
from nllcheck.ops import is_transparent, row
from nllcheck.types import Graph, Node

MOST = 8
QUANTILES = 64
_THROUGH = ("elementwise", "clamp", "view", "select", "join", "other")


@dataclass(frozen=True, slots=True)
class Posterior:
    """Plain indices of nodes. `params`: mu and scale (or a matrix), concentration and rate, shares; `sources`: the
    nodes that these are computed from, where the graph is cut."""

    family: str  # a row of FAMILIES
    params: tuple[int, ...]
    sources: tuple[int, ...]
    sample: int | None = None
    noise: int | None = None
    is_matrix: bool = False
    is_swapped: bool = False  # the noise is a row before its matrix
    is_inverse: bool = False  # a scale, where the family has a rate
    is_bits: bool = False  # each number is a logit of its own, where the family has classes

    def read(self, values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The parameters' own tensors (S, ...) as the family takes them: (S, U, ...)."""
        first, count = values[0], len(values[0])
        if self.family == "Dirichlet":
            shares = torch.stack(torch.broadcast_tensors(*values), -1) if len(values) > 1 else first
            return (shares.reshape(count, -1, shares.shape[-1]),)
        if self.family == "categorical":
            logits = torch.stack([first, torch.zeros_like(first)], -1) if self.is_bits else first
            return (logits.reshape(count, -1, logits.shape[-1]).log_softmax(-1),)
        if self.is_matrix:
            width = values[1].shape[-1]
            root = values[1].mT if self.is_swapped else values[1]
            mean = first.reshape(count, -1, width)
            return mean, root.reshape(count, -1, width, width).expand(-1, mean.shape[1], -1, -1)
        second = values[1] if len(values) > 1 else torch.ones_like(first)
        mean, scale = (v.reshape(count, -1, 1) for v in torch.broadcast_tensors(first, second))
        if self.family == "normal":
            return mean, scale[..., None]
        return mean, 1 / scale if self.is_inverse else scale


def posteriors(graph: LossGraph) -> tuple[Posterior, ...]:
    """The first `MOST` of them: what is drawn, in the order of the program, then concentrations."""
    nodes = graph.graph.nodes
    pairs = zip(graph.fx_nodes, nodes, strict=True)
    noise = [p.index for n, p in pairs if is_fixed(n) and row(p.op).kind == "random" and "float" in p.dtype]
    leaves = {n.index for n in nodes if n.op == "input" and n.index not in graph.graph.targets}
    moving = frozenset(depends_on(graph.graph, leaves))
    drawn = [one for k in noise for one in _drawn(graph, k, moving)]
    return (*drawn[:MOST], *list(_concentrations(graph.graph, moving))[:MOST])


def _drawn(graph: LossGraph, noise: int, moving: frozenset[int]) -> Iterator[Posterior]:
    """Sums of a mean and of noise times a scale."""
    noisy = depends_on(graph.graph, {noise})
    for total in (n for n in graph.graph.nodes if n.op in ("add", "sub") and len(set(refs(n))) == 2):
        mean, step = sorted(refs(total), key=lambda r: r in noisy)
        if mean in noisy or step not in noisy or mean not in moving or total.args[2:]:
            continue
        scales, matrices = _factors(graph.graph, step, noisy, moving)
        if len(scales) + len(matrices) == 1:
            yield from _told(graph, total.index, mean, [*scales, *(m for m, _ in matrices)][0], noise, matrices)
            return


def _told(
    graph: LossGraph, sample: int, mean: int, scale: int, noise: int, matrices: list[tuple[int, bool]]
) -> Iterator[Posterior]:
    sources = tuple(dict.fromkeys([*sources_of(graph.graph, mean), *sources_of(graph.graph, scale)]))
    made = Posterior("normal", (mean, scale), sources, sample, noise)
    if matrices:
        matrix = replace(made, is_matrix=True, is_swapped=matrices[0][1])
        if _is_product(graph, matrix):
            yield matrix
    elif graph.values[scale].numel() <= graph.values[sample].numel() and (family := _family(graph, made)):
        yield replace(made, family=family)


def _factors(
    graph: Graph, start: int, noisy: set[int], moving: frozenset[int]
) -> tuple[list[int], list[tuple[int, bool]]]:
    """What the model gives among the factors of noise: scales, and matrices with whether the noise stands before."""
    scales: list[int] = []
    matrices: list[tuple[int, bool]] = []
    stack = [start]
    while stack:
        node = graph.nodes[stack.pop()]
        if node.index not in noisy:
            scales += [node.index] if node.index in moving else []
        elif node.op in ("mul", "neg") or is_transparent(node.op):
            stack += refs(node)
        elif node.op == "matmul" and len(refs(node)) == 2:
            behind, free = sorted(refs(node), key=lambda r: r not in noisy)
            matrices += [(_behind_views(graph, free), refs(node)[0] in noisy)]
            stack.append(behind)
        elif node.index in moving:
            scales += [node.index, node.index]  # no product: two of them are no draw
    return scales, matrices


def _behind_views(graph: Graph, index: int) -> int:
    """Up through copies and expansions that leave the last two dimensions as they are."""
    node = graph.nodes[index]
    while is_transparent(node.op) and refs(node) and graph.nodes[refs(node)[0]].shape[-2:] == node.shape[-2:]:
        if "permute" in node.aten or "transpose" in node.aten or node.aten.startswith("aten.t."):
            break
        node = graph.nodes[refs(node)[0]]
    return node.index


def sources_of(graph: Graph, index: int) -> list[int]:
    """The nodes that a parameter is a function of, element by element or by placing them: inputs and layers; of an op
    with several results, as a Cholesky factor with its status, the result that is read."""
    found, stack, seen = [], [index], set()
    while stack:
        node = graph.nodes[stack.pop()]
        if node.index in seen:
            continue
        seen.add(node.index)
        of = graph.nodes[refs(node)[0]] if "getitem" in node.aten else node
        if node.op == "input" or (row(of.op).kind not in _THROUGH and refs(of)):
            found.append(node.index)
        stack += [] if node.index in found else refs(node)
    return found


def _is_product(graph: LossGraph, made: Posterior) -> bool:
    """Is the sample really mu + L noise, with standard normal noise?"""
    assert made.sample is not None and made.noise is not None
    rows, width = graph.values[made.params[1]].shape[-2:]
    if not is_normal(graph.graph.nodes[made.noise]) or rows != width:
        return False
    z, noise = graph.values[made.sample], graph.values[made.noise]
    mean, root = made.read([graph.values[p][None] for p in made.params])
    if noise.numel() != z.numel() or mean.numel() != z.numel():
        return False
    again = mean[0] + (root[0] @ noise.reshape(mean.shape[1:])[..., None])[..., 0]
    return bool(torch.allclose(again, z.reshape(again.shape), rtol=1e-4, atol=1e-5))


def is_normal(node: Node) -> bool:
    return "randn" in node.aten or "normal" in node.aten


def _family(graph: LossGraph, made: Posterior) -> str | None:
    """The family of (z - mu) / scale: the noise is put to its quantiles, all elements alike."""
    assert made.sample is not None and made.noise is not None
    levels = (torch.arange(QUANTILES, dtype=WIDE) + 0.5) / QUANTILES
    shape = graph.values[made.noise].shape
    noise = noise_at(graph.graph.nodes[made.noise], levels)
    moved = noise.reshape(-1, *(1 for _ in shape)).expand(-1, *shape)
    (z,) = run_at(graph, (made.noise,), (moved,), (made.sample,))
    mean, scale = (graph.values[p].to(WIDE) for p in made.params)
    away = ((z - mean) / scale).reshape(len(z), -1)[:, 0].sort().values
    exact = {"normal": torch.special.ndtri(levels), "Laplace": -torch.sign(levels - 0.5)
             * torch.log1p(-2 * (levels - 0.5).abs())}  # fmt: skip
    return next((name for name, q in exact.items() if torch.allclose(away, q, rtol=1e-4, atol=1e-4)), None)


def noise_at(node: Node, levels: Tensor) -> Tensor:
    """The noise at levels in (0, 1) of its distribution."""
    if is_normal(node):
        return torch.special.ndtri(levels)
    if "exponential" in node.aten:
        return -torch.log1p(-levels) / float(node.args[1] if len(node.args) > 1 else 1.0)  # type: ignore[arg-type]
    low, high = _ends(node)
    return low + (high - low) * levels


def _ends(node: Node) -> tuple[float, float]:
    """Between which a uniform number lies."""
    given = [float(a) for a in node.args if isinstance(a, (int, float))] if "uniform" in node.aten else []
    low, high = [*given, *[0.0, 1.0][len(given) :]]
    return low, high


def _concentrations(graph: Graph, moving: frozenset[int]) -> Iterator[Posterior]:
    """Numbers of which the loss takes both lgamma and digamma; a sum of others of them makes these shares."""
    read = [{shown(graph, r).index for n in graph.nodes if n.op == op for r in refs(n)} for op in ("lgamma", "digamma")]
    found = sorted(read[0] & read[1] & moving)
    above = {k: depends_on(graph, {k}) - {k} for k in found}
    first = [k for k in found if not any(k in above[j] for j in found)]
    sums = {k for k in read[0] | read[1] if any(k in above[j] for j in first)}
    if not sums:
        for k in first:
            yield from _gammas(graph, k, moving)
    elif len(first) == 2 or (len(first) == 1 and graph.nodes[first[0]].shape[-1:] > (1,)):
        yield from _cut_twice(graph, Posterior("Dirichlet", tuple(first), tuple(first)))


def _gammas(graph: Graph, shape: int, moving: frozenset[int]) -> Iterator[Posterior]:
    """With every number that could be its rate or scale, or none."""
    size, apart = graph.nodes[shape].shape, moving - set(depends_on(graph, {shape}))
    read = {shown(graph, r).index for n in graph.nodes if n.op == "log" for r in refs(n)}
    read |= {shown(graph, refs(n)[1]).index for n in graph.nodes if n.op == "div" and len(refs(n)) == 2}
    for rate in sorted(k for k in read & apart if graph.nodes[k].shape == size):
        for is_inverse in (False, True):
            made = Posterior("gamma", (shape, rate), (shape, rate), is_inverse=is_inverse)
            yield from _cut_twice(graph, made)
    yield from _cut_twice(graph, Posterior("gamma", (shape,), (shape,)))


def _cut_twice(graph: Graph, made: Posterior) -> Iterator[Posterior]:
    """Cut at the parameters themselves, and at what they are made of: a loss may take the log of either."""
    yield made
    raw = tuple(dict.fromkeys(s for p in made.params for s in sources_of(graph, p)))
    if raw != made.sources and not set(raw) & set(graph.targets):
        yield replace(made, sources=raw)
