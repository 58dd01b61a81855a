"""Where a target lives: read from the batch's values and from what the loss does with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import fx

from nllcheck.axes import depends_on
from nllcheck.capture import LossGraph
from nllcheck.density.row_values import are_orders, is_bits, is_pixels, sums_to_one, total_of
from nllcheck.density.samples.terms import Term
from nllcheck.graphs import refs, selects
from nllcheck.ops import is_transparent
from nllcheck.types import Node, Ref

SUPPORTS = (
    "real", "positive", "unit", "simplex", "count", "class", "one-hot", "binary", "angle", "sphere", "multinomial",
    "order",
)  # fmt: skip
_FOLDS = ("clamp", "where", "remainder", "minimum", "maximum", "masked_fill")
_ERRORS = ("mse_loss", "huber_loss", "smooth_l1_loss", "l1_loss")
ROWS = ("simplex", "one-hot", "sphere", "multinomial", "order")  # one target is a whole row


@dataclass(frozen=True, slots=True)
class Support:
    """A support and how it is known."""

    name: str  # one of SUPPORTS
    why: str  # "the target is used as an index"
    classes: int = 0  # of class and one-hot targets; of a multinomial one the total of a row
    is_folded: bool = False  # a clamp (or the like) maps several class indices to one
    ends: tuple[float, float] = (-math.inf, math.inf)  # of an interval
    begins: fx.Node | None = None  # one number a sample where the interval begins, in place of its lower end
    columns: tuple[Columns, ...] = ()  # of a mixed row: those that belong together, with a support of their own

    @property
    def names(self) -> tuple[str, ...]:
        """Its own name and those of its columns."""
        return (self.name, *(each.support.name for each in self.columns))


@dataclass(frozen=True, slots=True)
class Columns:
    """Places in a mixed row, their support, and the terms of the loss that read them and no others."""

    places: tuple[int, ...]
    support: Support
    terms: frozenset[Term]


def ends_of(text: str) -> tuple[float, float] | None:
    """`-1:3` as an interval's ends; None if it is none. `0:` and `:1` are open to one side."""
    low, colon, high = text.partition(":")
    try:
        ends = float(low or -math.inf), float(high or math.inf)
    except ValueError:
        return None
    is_one = bool(colon) and ends[0] < ends[1] and any(map(math.isfinite, ends))
    return ends if is_one else None


def support_of(graph: LossGraph, target: int, asked: str | None) -> Support | None:
    """The support of the target (a plain index): as asked, else inferred; None where nothing fits."""
    value = graph.values[target]
    if asked is not None and (ends := ends_of(asked)):
        return Support("interval", f"as asked, {asked}", ends=ends)
    found = _inferred(graph, target, value)
    if asked is None or (found and found.name == asked):
        return found
    classes = value.shape[-1] if asked == "one-hot" else _classes(graph, target, value) if asked == "class" else 0
    return Support(asked, "as asked", classes if asked != "multinomial" else total_of(value))


def _inferred(graph: LossGraph, target: int, value: torch.Tensor) -> Support | None:
    views = _views(graph, target)
    used = {graph.graph.nodes[n].op for n in _readers(graph, views)}
    if not value.is_floating_point() or _classes(graph, target, value):  # or floats that are codes of classes
        return _of_integers(graph, target, value, used)
    if value.numel() == 0 or not bool(torch.isfinite(value).all()):
        return None
    if value.dim() >= 2 and value.shape[-1] > 1 and bool((value >= 0).all()) and sums_to_one(value):
        if bool(((value == 0) | (value == 1)).all()):
            return Support("one-hot", "rows of zeros with a single 1", value.shape[-1])
        return Support("simplex", "rows of positive numbers that sum to 1")
    total = total_of(value)
    if total > 1 and not _is_shifted(graph, views, ("sub", *_ERRORS)):
        return Support("multinomial", f"rows of counts that sum to {total}", total)
    return _of_numbers(graph, views, value, used)


def as_rows(support: Support, value: torch.Tensor) -> Support:
    """Rows of whole numbers that the loss takes together are orders of the classes, if each is one; or shares of a
    total, if all have the same one."""
    if support.name == "class" and are_orders(value):
        return Support("order", "every row is an order of the classes", value.shape[-1])
    total = total_of(value) if support.name == "count" else 0
    return Support("multinomial", f"rows of counts that sum to {total}", total) if total > 1 else support


def is_on_sphere(value: torch.Tensor) -> bool:
    """Rows of length 1?"""
    rows = value.dim() >= 2 and 2 <= value.shape[-1] <= 17 and value.is_floating_point()
    return rows and bool(((value.double().square().sum(-1) - 1).abs() < 1e-4).all())


def _of_integers(graph: LossGraph, target: int, value: torch.Tensor, used: set[str]) -> Support | None:
    classes = _classes(graph, target, value)
    if classes:
        folded = any(graph.graph.nodes[n].op in _FOLDS for n in _readers(graph, _views(graph, target)))
        return Support("class", "the target is used as an index", classes, folded)
    if value.dtype == torch.bool or is_bits(value):
        return Support("binary", "the targets are 0 and 1")
    return Support("count", "whole numbers from 0 on") if bool((value >= 0).all()) else None


def _of_numbers(graph: LossGraph, views: set[int], value: torch.Tensor, used: set[str]) -> Support | None:
    """Floating targets, by what the loss does with them before by their values."""
    if is_pixels(value):
        return None  # 256 levels, each with a probability: neither a density nor classes
    if used & {"binary_cross_entropy", "bce", "binary_cross_entropy_with_logits", "bce_with_logits"}:
        return Support("binary", "the loss is a binary cross entropy")
    shifted = _is_shifted(graph, views)
    low, high = float(value.min()), float(value.max())
    if is_bits(value) and not shifted:
        return Support("binary", "the targets are 0 and 1")
    whole = bool((value == value.round()).all()) and low >= 0 and value.numel() > 1
    if whole and _is_shared_out(graph, views):
        return None  # counts of a multinomial, of which every row has a total of its own
    if whole and not _is_shifted(graph, views, ("sub", *_ERRORS)) and not used & {"log"}:
        return Support("count", "whole numbers from 0 on, not compared with a mean")
    if _is_wrapped(graph, views):
        return Support("angle", "the loss is periodic in the target")
    if low > 0 and high < 1 and _logs_both_sides(graph, views):
        return Support("unit", "the loss takes the log of y and of 1 - y")
    if low > 0 and (used & {"log", "xlogy", "log2", "log10", "logit"} or not shifted):
        why = "the loss takes the log of y" if "log" in used else "positive numbers, not compared with a mean"
        return Support("positive", why)
    return Support("real", "any number")


def _is_shared_out(graph: LossGraph, views: set[int]) -> bool:
    """Is the target multiplied with logarithms of shares, as of a softmax, and nothing else?"""
    readers = [graph.graph.nodes[k] for k in _readers(graph, views)]
    by = [r for n in readers for r in refs(n) if r not in views]
    return bool(by) and all(n.op == "mul" for n in readers) and all(_is_log_share(graph, r) for r in by)


def _is_log_share(graph: LossGraph, index: int) -> bool:
    node, logs = graph.graph.nodes[index], 0
    while (is_transparent(node.op) or node.op in ("log", "add", "clamp", "neg")) and refs(node):
        logs += node.op == "log"
        node = graph.graph.nodes[refs(node)[0]]  # the share itself: of a softmax, or an average of some
    return node.op == "log_softmax" or (logs == 1 and sums_to_one(graph.values[node.index]))


def _views(graph: LossGraph, target: int) -> set[int]:
    """The target and what shows it (or a cast of it) unchanged."""
    found = {target}
    for node in graph.graph.nodes:
        if _shows(graph, node, found):
            found.add(node.index)
    return found


def _shows(graph: LossGraph, node: Node, shown: set[int]) -> bool:
    """Does it hand on elements of what is `shown`; or those that a mask selects, a copy of one in the others' place?"""
    read = refs(node)
    if selects(graph.graph, node):
        return read[1] in shown
    return is_transparent(node.op) and bool(node.args) and read[:1] != () and read[0] in shown


def _readers(graph: LossGraph, views: set[int]) -> list[int]:
    return [n.index for n in graph.graph.nodes if n.index not in views and any(r in views for r in refs(n))]


def _is_shifted(graph: LossGraph, views: set[int], ops: tuple[str, ...] = ("add", "sub", *_ERRORS)) -> bool:
    """Is something subtracted from the target that is no plain number, as a mean is?"""
    nodes = [graph.graph.nodes[k] for k in _readers(graph, views)]
    leaves = {n.index for n in graph.graph.nodes if n.op == "input" and n.index not in graph.graph.targets}
    model = depends_on(graph.graph, leaves)
    return any(n.op in ops and set(refs(n)) & model for n in nodes)


def is_linear_in(graph: LossGraph, target: int) -> bool:
    """Is the target only ever multiplied with what does not depend on it?"""
    views = _views(graph, target)
    moved = depends_on(graph.graph, {target})
    readers = [graph.graph.nodes[k] for k in _readers(graph, views)]
    return all(n.op == "mul" and len(set(refs(n)) & moved) == 1 and refs(n)[0] != refs(n)[-1] for n in readers)


def _is_wrapped(graph: LossGraph, views: set[int]) -> bool:
    """Does the target go into the loss through sine and cosine alone?"""
    nodes = graph.graph.nodes
    first = _readers(graph, views)
    second = [n.index for n in nodes if any(r in first for r in refs(n))]
    through = {nodes[k].op for k in first} - {"sub", "add"} or {nodes[k].op for k in second}
    return bool(through) and through <= {"cos", "sin"}


def _logs_both_sides(graph: LossGraph, views: set[int]) -> bool:
    nodes = graph.graph.nodes
    first = _readers(graph, views)
    ops = {nodes[k].op for k in first}
    mirrored = [k for k in first if nodes[k].op in ("sub", "neg", "mul")]
    logs = any(nodes[n.index].op in ("log", "log1p", "xlogy") for n in nodes if any(r in mirrored for r in refs(n)))
    return bool(ops & {"log", "xlogy", "logit"}) and (logs or "log1p" in ops or "logit" in ops)


def _classes(graph: LossGraph, target: int, value: torch.Tensor) -> int:
    """How many values an index target has: the size of what it picks from; 0 if it picks nothing."""
    nodes = graph.graph.nodes
    shown = {target}
    for node in nodes:
        if refs(node) and (_shows(graph, node, shown) or (node.op in _FOLDS and refs(node)[0] in shown)):
            shown.add(node.index)
    for node in nodes:
        if node.op in ("nll_loss", "multi_margin_loss") and len(refs(node)) > 1 and refs(node)[1] in shown:
            return _size(graph, refs(node)[0], 1 if len(nodes[refs(node)[0]].shape) > 1 else 0)
        if node.op in ("gather", "scatter") and len(refs(node)) > 1 and refs(node)[1] in shown:
            return _size(graph, refs(node)[0], int(node.args[1]))
        if node.op == "index" and refs(node)[0] not in shown and refs(node)[-1] in shown:
            return _size(graph, refs(node)[0], _place(node, shown))
    return 0


def _place(node: Node, shown: set[int]) -> int:
    """The dimension of a table that the target chooses along: of `table[target]` the first."""
    by = node.args[1] if isinstance(node.args[1], tuple) else ()
    return next((k for k, ref in enumerate(by) if isinstance(ref, Ref) and ref.index in shown), -1)


def _size(graph: LossGraph, node: int, dim: int) -> int:
    shape = graph.graph.nodes[node].shape
    return int(shape[dim]) if shape else 0
