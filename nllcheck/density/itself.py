"""Does a model read the very values that its loss compares it with? Then exp(-loss) is no density of the data.

With t for what is compared and x for what the model reads, both of the same data, a term of its own for t_i is not
changed by x_j: the loss is a sum of a function of t_i and one of x_j. So L(t', x') - L(t', x) - L(t, x') + L(t, x),
with element i of t and element j of x moved, is exactly 0 where the model does not read element j to predict element i.
But a loss may read an element as what the next one is given, as residual predictors do (x_i + f(x_i) beside x_{i+1}):
only the last one has no next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nllcheck import ops
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner, run_all
from nllcheck.capture.numerics import quiet_numerics
from nllcheck.density.apart import behind_views, compared_with, of_data_alone, reader_of
from nllcheck.errors import raise_own
from nllcheck.graphs import ancestors
from nllcheck.types import Density, Graph

ITSELF = (
    "the model reads the very values that it predicts, so this is a density given them, and none of the data (a flow "
    "adds its log-determinant)"
)
SHIFTED = (
    "No likelihood of the data: each step is predicted from what the model has read up to and including that very "
    "step, and none after it. A shift by one is missing: predict x[:, 1:] from x[:, :-1], or let a mask leave the step "
    "itself out."
)
NEAR = 3  # neighbouring elements, the last ones of a row
TINY = 1e-9  # of the loss: rounding of float64, and no more, where nothing is read

Read = Literal["no", "yes", "causal"]


@dataclass(frozen=True)
class Twice:
    """A program that gets the same data twice, by the places of its leaves; `made` is what is compared, of what is
    read."""

    program: LossGraph
    read: int
    compared: int
    made: Callable[[Tensor], Tensor]
    reader: int | None = None  # the first op that compares
    is_apart: bool = False  # by `apart`, and not by the batch


def unless_read(answer: Density, twice: Twice | None, memory: int) -> Density:
    """The answer, unless it calls a density what predicts the very values that the model reads.

    With the steps before it as well, and none after it, a shift is missing; else that may be meant, as by an
    autoencoder. A batch that holds its data twice says by itself that the target is given what it equals.
    """
    named = answer.name in ("proper", "constant", "target-factor")
    if not named or twice is None or _draws(twice.program.graph) or _bytes(twice.program) > memory:
        return answer
    try:
        read = reads_itself(twice)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:  # the user's ops at values they never saw
        raise_own(error)
        return answer
    if read == "causal":
        nodes = () if twice.reader is None else (twice.reader,)
        return Density("reads-itself", SHIFTED, claims=answer.claims, nodes=nodes, divergences=answer.divergences)
    if read == "yes" and twice.is_apart:
        return Density("undecided", f"Not decided: {ITSELF}.", claims=answer.claims, divergences=answer.divergences)
    return answer


def _draws(graph: Graph) -> bool:
    """Is anything drawn but what dropout leaves out? A posterior's draw is no reading of what is predicted."""
    drawn = [graph.nodes[k] for k in ancestors(graph, graph.loss) if ops.row(graph.nodes[k].op).kind == "random"]
    return any("native_dropout" not in node.aten for node in drawn)


def _bytes(program: LossGraph) -> int:
    """That the runs of `_losses` take together."""
    sizes = [v.numel() for v in program.values if isinstance(v, Tensor)]
    return 8 * (NEAR + 1) ** 2 * sum(sizes)


def with_root(first: LossGraph, program: LossGraph) -> Twice | None:
    """Of a program with the data apart (`apart.with_data_apart`): one value is compared, and the one leaf that it is
    made of is read. None where it is made of several."""
    count, root = len(first.program.leaves), compared_with(first)
    if root is None:
        return None
    leaves = [k for k in ancestors(first.graph, root) if k < count and k not in first.graph.buffers]
    if len(leaves) != 1:
        return None
    values = [leaf.value for leaf in first.program.leaves]

    def made(value: Tensor) -> Tensor:
        tensors = [value if k == leaves[0] else v for k, v in enumerate(values)]
        with quiet_numerics(first.seed), torch.no_grad():
            return run_all(first.module, tensors)[root]  # type: ignore[no-any-return]

    return Twice(program, leaves[0], count, made, reader_of(first, root), is_apart=True)


def given_twice(graph: LossGraph) -> Twice | None:
    """Of a batch that holds the same values as input and as target; None for others, and for values that are their
    own next ones, which a shift would not change."""
    leaves = graph.program.leaves
    pairs = [(i, t) for t in graph.graph.targets for i, leaf in enumerate(leaves)
             if leaf.role == "input" and leaf.value.dim() > 1 and torch.equal(leaf.value, leaves[t].value)]  # fmt: skip
    if len(pairs) != 1 or _is_its_own_shift(leaves[pairs[0][0]].value):
        return None
    return Twice(graph, *pairs[0], lambda value: value, behind_views(graph.graph, pairs[0][1]))


def _is_its_own_shift(value: Tensor) -> bool:
    sizes = [(dim, size - 1) for dim, size in enumerate(value.shape) if dim and size > 1]
    return any(torch.equal(value.narrow(dim, 0, n), value.narrow(dim, 1, n)) for dim, n in sizes)


def reads_itself(twice: Twice) -> Read:
    """Is an element read to predict itself; and if so, are only those before it read beside it, along a dimension?"""
    found: Read = "no"
    for places in _neighbours(twice.program.program.leaves[twice.read].value):
        met = _met(twice, places)
        own, before, after = met.diagonal(), met.tril(-1), met.triu(1)
        if bool(own.all()) and bool(before.any()) and not bool(after.any()):
            return "causal"
        found = "yes" if bool(own[-1]) or (bool(after.any()) and bool(own.any())) else found
    return found


def _neighbours(value: Tensor) -> Iterator[list[tuple[int, ...]]]:
    """The last three elements of the first row, next to each other along each of its dimensions in turn; of short
    rows fewer."""
    last = [0, *(size - 1 for size in value.shape[1:])]
    for dim in range(1, value.dim()):
        size = value.shape[dim]
        start = max(0, size - NEAR)
        places = [[*last[:dim], k, *last[dim + 1 :]] for k in range(start, size)]
        yield [tuple(place) for place in places]


def _met(twice: Twice, places: list[tuple[int, ...]]) -> Tensor:
    """(i, j): is element j read to predict element i?"""
    leaves = [leaf.value for leaf in twice.program.program.leaves]
    read = [leaves[twice.read], *(_moved(leaves[twice.read], place) for place in places)]
    compared = [leaves[twice.compared], *map(twice.made, read[1:])]
    loss = _losses(twice, torch.stack(read), torch.stack(compared))
    both = loss[1:, 1:] - loss[1:, :1] - loss[:1, 1:] + loss[:1, :1]
    return both.abs() > TINY * loss.abs().max()


def _losses(twice: Twice, read: Tensor, compared: Tensor) -> Tensor:
    """(T, X) in float64: the loss for each of `compared` (T, ...) with each of `read` (X, ...)."""
    program, pairs = twice.program, len(read) * len(compared)
    leaves, held = [leaf.value for leaf in program.program.leaves], _questions(program)

    def one(x: Tensor, t: Tensor) -> Tensor:
        given = {twice.read: x, twice.compared: t}
        tensors = [_wide(given.get(k, leaf)) for k, leaf in enumerate(leaves)]
        loss: Tensor = Runner(program.module, torch.float64, given=held).run(*tensors)
        return loss

    rows = torch.arange(pairs, device=read.device)
    with quiet_numerics(program.seed), torch.no_grad():
        found = torch.vmap(one, randomness="same")(read[rows % len(read)], compared[rows // len(read)])
    return found.reshape(len(compared), len(read))


def _questions(program: LossGraph) -> dict[str, Tensor]:
    """What is asked of the data, such as which tokens only fill up a row: as observed, for that predicts nothing."""
    alone, nodes = of_data_alone(program.graph), program.fx_nodes
    return {nodes[k].name: program.values[k] for k in alone if program.graph.nodes[k].dtype == "bool"}


def _wide(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value


def _moved(value: Tensor, place: tuple[int, ...]) -> Tensor:
    """With one element moved to another value, of a label to another that the batch holds."""
    new = value.clone()
    if value.is_floating_point():
        new[place] += value.std() + 1
    else:
        new[place] = value.max() if value[place] != value.max() else value.min()
    return new
