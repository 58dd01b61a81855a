"""Run a joint graph at many points at once, watching the range of every op, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import fx
from torch.utils._pytree import tree_map

from nllcheck.capture.interpret import promoted, run_all
from nllcheck.capture.numerics import plain_kernels
from nllcheck.errors import NllcheckError
from nllcheck.memo import remembered
from nllcheck.ops import packet
from nllcheck.sweep.fused import fused_rows
from nllcheck.sweep.heap import HEAP
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.place import placements
from nllcheck.sweep.program import extent, observed
from nllcheck.sweep.trace import Gathering, Row, Trace, Waiting, on_cpu, trace_of
from nllcheck.types import Axis


def pointwise(
    joint: Joint, axis: Axis, dtype: torch.dtype | None, names: tuple[str, ...]
) -> Callable[[torch.Tensor], Row]:
    """The function of one 0-d point that a sweep vectorises; what it returns gets a dimension of points by that."""
    bases = [promoted(b, dtype) for b in joint.base]

    def at(point: torch.Tensor) -> Row:
        return observed(joint, placements(joint, axis, bases, point), names, dtype)

    return at


def watched_names(joint: Joint) -> tuple[str, ...]:
    """Ops of the joint graph that give floating values, in program order, found by one run on the batch."""
    with torch.no_grad(), plain_kernels():
        values = run_all(joint.module, joint.base)
    nodes = [n for n in joint.module.graph.nodes if n.op != "output"]
    watched = (n for n, v in zip(nodes, values, strict=True) if n.name in joint.ops and extent(v) and not _is_blank(n))
    return tuple(n.name for n in watched)


def _is_blank(node: fx.Node) -> bool:
    """Memory as it was found, for a later op to write into: its content is chance."""
    return packet(str(node.target)) in ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")


def run_points(
    joint: Joint,
    axis: Axis,
    points: torch.Tensor,
    names: tuple[str, ...],
    dtype: torch.dtype | None = None,
    memory: int = 2**30,
    is_fused: bool = False,
) -> Trace:
    """Evaluate all `points` (P,), vectorised, in chunks that stay within `memory` bytes.

    An out-of-memory error halves the chunk and goes on. Nothing leaves the device before the end, and a GPU is waited
    for only once in many chunks. `is_fused`: by a compiled program; raises NllcheckError where that cannot be made.
    """
    at = torch.func.vmap(pointwise(joint, axis, dtype, names), randomness="same")
    chunk = chunk_size(joint, memory, dtype)
    found, start = Gathering(points.numel()), 0
    waiting = Waiting(found, axis, names, 0 if points.is_cpu else memory // WAITING)
    with torch.no_grad(), plain_kernels():
        while start < points.numel():
            some = points[start : start + chunk]
            try:
                row = fused_rows(joint, axis, names, dtype, some, chunk) if is_fused else at(some)
                waiting.put(start, some, row)
                start += chunk
                HEAP.tidy(memory // 2)
            except torch.OutOfMemoryError:
                waiting.flush(apart=True)
                if chunk == 1:
                    raise
                chunk = max(1, chunk // 2)
            except NllcheckError:
                raise
            except Exception as error:  # no batching rule, or a formula that raises for an empty selection
                raise UnsweepableError(_first_line(error)) from error
        waiting.flush()
    return on_cpu(found.trace())


class UnsweepableError(Exception):
    """An op of this graph cannot be run at many points at once (its result's shape depends on values)."""


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def run_one(joint: Joint, axis: Axis, point: float, names: tuple[str, ...], dtype: torch.dtype | None = None) -> Trace:
    """The canonical path: one point, plain eager kernels at the batch's own shapes. Thresholds rest on it."""
    like = joint.base[joint.moved.index(axis.node)]
    value = torch.tensor(point, dtype=dtype or like.dtype, device=like.device)
    with torch.no_grad(), plain_kernels():
        row = pointwise(joint, axis, dtype, names)(value)
    return on_cpu(trace_of(axis, value.reshape(1), tree_map(lambda t: t[None], row), names))


def affordable(joint: Joint, work: float, fewest: int, most: int) -> int:
    """How many points may be evaluated for `work` elements computed, between `fewest` and `most`."""
    return int(min(most, max(fewest, work / elements(joint))))


WAITING = 16  # on a GPU: of the memory a part this large holds the ranges of chunks that nobody has looked at yet
CACHED = 2**25  # elements computed in a chunk on a CPU: more does not stay in its caches, less is all overhead
SHARE = 4  # of the memory a chunk takes one part; temporaries of its ops and what has been found have the rest


def chunk_size(joint: Joint, memory: int, dtype: torch.dtype | None) -> int:
    """Points evaluated at once: as many as `memory` bytes hold, and on a CPU no more than its caches like.

    It depends on the program and not on what is free just now: see `plan`.
    """
    item = torch.empty((), dtype=dtype or joint.base[0].dtype).element_size()
    fitting = memory // (SHARE * item * live_elements(joint))
    return max(1, min(fitting, CACHED // elements(joint)) if joint.base[0].is_cpu else fitting)


def live_elements(joint: Joint) -> int:
    """The most elements that one point holds at a time: a value goes when the last op that reads it has run."""
    return _live(joint.module)


@remembered(64)
def _live(module: fx.GraphModule) -> int:
    last = {source: n for n in module.graph.nodes for source in n.all_input_nodes}
    held = most = 0
    for n in module.graph.nodes:
        held += _numel(n) if n.op != "get_attr" else 0
        most = max(most, held)
        held -= sum(_numel(source) for source in n.all_input_nodes if last[source] is n and source.op != "get_attr")
    return max(1, most)


def elements(joint: Joint) -> int:
    """What one point computes, over all ops."""
    return _computed(joint.module)


@remembered(64)
def _computed(module: fx.GraphModule) -> int:
    return max(1, sum(_numel(n) for n in module.graph.nodes))


def _numel(node: fx.Node) -> int:
    value = node.meta.get("val", node.meta.get("tensor_meta"))
    shape = getattr(value, "shape", None)
    return int(torch.Size(shape).numel()) if shape is not None else 1
