"""The batch's structure: what happens with another mask, one class, no events, a single row.

No sweep of values shows an empty selection. A few variations of the batch are run with the user's own code, op by
op, and a failure is told with the variation in words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.utils._pytree as pytree

from nllcheck.capture.interpret import promoted
from nllcheck.capture.program import Program, program
from nllcheck.capture.verify import eager
from nllcheck.eager.events import event_at, offences
from nllcheck.eager.graph import Book
from nllcheck.eager.record import record
from nllcheck.structure.asked import asked_about, blank_rows, emptied, ignored_by, questions_of, unless_ignored
from nllcheck.structure.variants import Variant, variants
from nllcheck.target import Batch, Target
from nllcheck.types import Axis, Effort, Event, Graph, Judged, Node, Ref

MOST: dict[Effort, int] = {"quick": 0, "default": 16, "thorough": 60}


@dataclass(frozen=True)
class Variations:
    """What was tried: failures as verdicts on a graph of their own, and what was left out."""

    graph: Graph
    judged: tuple[Judged, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class _Trial:
    """One variation, ready to run."""

    label: str
    program: Program
    tensors: list[torch.Tensor]
    likely: bool


def structure(target: Target, batch: Batch, seed: int, effort: Effort, graph: Graph | None = None) -> Variations:
    """Run the variations of a batch that is sound itself. One that raises says nothing.

    `graph`: of the captured loss, whose first nodes are the program's leaves; None where there is none.
    """
    prog = program(target, batch)
    book = Book(prog)
    tensors = [leaf.value for leaf in prog.leaves]
    if not MOST[effort] or not _is_sound(prog, tensors, seed):
        return Variations(book.graph, (), ())
    trials = list(_trials(target, batch, prog, seed, graph))
    judged: list[Judged] = []
    for trial in trials[: MOST[effort]]:
        judged += [] if _is_sound(trial.program, trial.tensors, seed) else _judged(book, trial, seed)
    left = len(trials[MOST[effort] :])
    words = (f"{left} variations of the batch were not tried: more --effort tries more",) if left else ()
    return Variations(book.graph, tuple(judged), words)


def tables_of(graph: Graph) -> dict[int, int]:
    """How many entries each input of the graph chooses among that indexes something: the least of its tables."""
    found: dict[int, int] = {}
    for node in graph.nodes:
        if node.op == "index" and isinstance(node.args[0], Ref) and isinstance(node.args[1], tuple):
            sizes = graph.nodes[node.args[0].index].shape
            for size, by in zip(sizes, node.args[1], strict=False):
                if isinstance(by, Ref) and _is_position(graph.nodes[by.index]):
                    found[by.index] = min(size, found.get(by.index, size))
    return found


def _is_position(node: Node) -> bool:
    """Whole numbers of the batch; booleans select and count nothing."""
    return node.op == "input" and "int" in node.dtype


def _trials(target: Target, batch: Batch, prog: Program, seed: int, graph: Graph | None) -> Iterator[_Trial]:
    tensors = [leaf.value for leaf in prog.leaves]
    found = variants(prog.leaves, target.model is not None, tables_of(graph) if graph else {})
    questions = questions_of(graph) if graph else {}
    found += (*asked_about(prog.leaves, questions), *emptied(prog.leaves, questions))
    found += (*blank_rows(prog.leaves, questions, target.model is not None),)
    found = tuple(unless_ignored(one, ignored_by(graph)) for one in found) if graph else found
    for one in sorted(found, key=lambda v: not v.likely):
        if not one.unread or _is_unread(prog, one, seed):
            yield _Trial(f"a batch with {one.label}", prog, _with(tensors, one.leaf, one.value), one.likely)
    single = _single_row(target, batch, prog)
    if single is not None:
        label = "a last batch of one row (DataLoader's drop_last leaves it out)"
        yield _Trial(label, single, [leaf.value for leaf in single.leaves], likely=False)


def _with(tensors: list[torch.Tensor], leaf: int, value: torch.Tensor) -> list[torch.Tensor]:
    return [value if i == leaf else t for i, t in enumerate(tensors)]


def _is_unread(prog: Program, one: Variant, seed: int) -> bool:
    """Does the loss stay the same when only the masked values differ? Else they are not masked out."""
    tensors = [leaf.value for leaf in prog.leaves]
    base = tensors[one.leaf]
    out = torch.isnan(one.value) | (one.value != base)
    try:
        values = [eager(prog, _with(tensors, one.leaf, torch.where(out, base + d, base)), seed)[0] for d in (0.0, 0.5)]
    except Exception:  # whatever the user's code raises for other data
        return False
    return values[0] == values[1]


def _single_row(target: Target, batch: Batch, prog: Program) -> Program | None:
    """The program on the first row of everything that has as many rows as the targets; None where none is to cut."""
    rows = _rows(prog)
    if rows < 2:
        return None

    def first(value: Any) -> Any:
        return value[:1] if isinstance(value, torch.Tensor) and value.dim() and len(value) == rows else value

    cut = {name: pytree.tree_map(first, getattr(batch, name)) for name in ("args", "targets", "whole")}
    kwargs = {name: pytree.tree_map(first, value) for name, value in batch.kwargs.items()}
    return program(target, replace(batch, kwargs=kwargs, **cut))


def _rows(prog: Program) -> int:
    """The number of rows that target and another tensor of the batch share; 0 where none does."""
    sizes = {role: [len(leaf.value) for leaf in prog.leaves if leaf.role == role and leaf.value.dim()]
             for role in ("target", "input")}  # fmt: skip
    shared = [n for n in sizes["target"] if n in sizes["input"]]
    return shared[0] if shared else 0


def _is_sound(prog: Program, tensors: list[torch.Tensor], seed: int) -> bool:
    """Finite loss and gradients, or an exception: code that refuses a batch has said so itself."""
    try:
        loss, gradients = eager(prog, tensors, seed)
    except Exception:
        return True
    return math.isfinite(loss) and all(bool(torch.isfinite(g).all()) for g in gradients)


def _judged(book: Book, trial: _Trial, seed: int) -> list[Judged]:
    run = record(trial.program, seed, trial.tensors)
    if run.error is not None:
        return []
    book.add(run)
    book.loss = book.index[run.steps[run.loss_step].key]
    axis = Axis(trial.label, 0, "target", mode="batch")
    events = [replace(event_at(book, run, one, None, math.nan), axis=axis) for one in sorted(offences(run), key=str)]
    return [_verdict(_told(event, trial), trial, seed) for event in events]


def _told(event: Event, trial: _Trial) -> Event:
    """What is NaN from the start (under the mask) has no op to blame."""
    return replace(event, detail=f"{trial.label} gives NaN") if event.chain[0].op == "input" else event


def _verdict(event: Event, trial: _Trial, seed: int) -> Judged:
    """Finite in float64: a defect. Else the formula has no value for such a batch."""
    reach = 1.0 if trial.likely else math.inf
    try:
        loss, gradients = _in_float64(trial, seed)
    except Exception as error:
        return Judged(event, "undecided", reach, f"the function does not run in float64 ({type(error).__name__})")
    if math.isfinite(loss) and all(bool(torch.isfinite(g).all()) for g in gradients):
        return Judged(event, "defect", reach, f"in float64 the loss is {loss:.7g}", loss)
    return Judged(event, "limit", reach, "the formula has no value for such a batch", loss)


def _in_float64(trial: _Trial, seed: int) -> tuple[float, list[torch.Tensor]]:
    """Loss and gradients. Code that makes float32 tensors of its own, and refuses to mix them with others, makes
    float64 ones where that is torch's default."""
    tensors = [promoted(t, torch.float64) for t in trial.tensors]
    try:
        return eager(trial.program, tensors, seed)
    except RuntimeError:
        usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            return eager(trial.program, tensors, seed)
        finally:
            torch.set_default_dtype(usual)
