"""One run of the user's function, every op noted: what it read, what it gave, which line asked for it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.utils._pytree as pytree

from nllcheck.capture.lines import Mark
from nllcheck.capture.numerics import quiet_numerics
from nllcheck.capture.own import mark_in_backward
from nllcheck.capture.program import Program
from nllcheck.capture.sites import SiteMode, mark_here
from nllcheck.sweep.program import extent

Key = tuple[Any, ...]  # names an op across runs: ATen name, the user's place, and which of its kind it was
Override = Callable[[torch.Tensor], torch.Tensor]


@dataclass(slots=True)
class Step:
    """One op that ran."""

    key: Key
    aten: str
    args: tuple[Any, ...]  # positions in the record as ("step", i), scalars as they are
    parents: tuple[int, ...]
    mark: Mark | None
    value: Any
    origin: Key  # of a backward op: the forward op that it differentiates; of any other, and in a user's own
    # `backward`: its own key
    is_backward: bool
    written: bool  # takes an infinity from a constant

    @property
    def is_own(self) -> bool:
        """Does it stand in somebody's code: forward, or in a `backward` written by hand?"""
        return self.origin == self.key

    @property
    def state(self) -> int:
        """0 finite, 1 infinite, 2 NaN."""
        found = extent(self.value)
        if found is None:
            return 0
        low, high = float(found[0].detach()), float(found[1].detach())
        return 2 if math.isnan(low) or math.isnan(high) else int(math.isinf(low) or math.isinf(high))


@dataclass(slots=True)
class Record:
    """Everything one run did; `error` is the exception of the user's code, if it raised."""

    steps: list[Step] = field(default_factory=list)
    leaves: int = 0
    loss: float = math.nan
    gradients: tuple[torch.Tensor, ...] = ()
    slope: float = math.nan
    error: Exception | None = None
    loss_step: int = -1


class _Recorder(SiteMode):
    """A dispatch mode that keeps every op's inputs (by identity) and output, and can put a value in place of one."""

    def __init__(self, record: Record, override: tuple[Key, Override] | None) -> None:
        super().__init__()
        self.record = record
        self.override = override
        self.known: dict[int, int] = {}  # id of a live tensor -> position of the step that made it
        self.alive: list[Any] = []
        self.counts: dict[Any, int] = {}
        self.origin: Key | None = None  # set while a backward function runs
        self.head: torch.Tensor | None = None

    def leaf(self, tensor: torch.Tensor, key: Key) -> None:
        """A tensor that the program starts from."""
        self._note(Step(key, "input", (), (), None, tensor, key, False, False), tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        mark = mark_in_backward() if self.origin else mark_here(self.depth > 0 or bool(self.output))
        key = self._key(str(func), mark)
        if self.override is not None and key == self.override[0] and self.head is None:
            result = self.head = self.override[1](result)
        parents = [self.known[id(t)] for t in _tensors((args, kwargs)) if id(t) in self.known]
        step = Step(
            key,
            str(func),
            tuple(pytree.tree_map(self._argument, list(args))),
            tuple(dict.fromkeys(parents)),
            _with_output(mark, self.output),
            _detached(result),
            key if mark else self.origin or key,
            self.origin is not None,
            any(_is_infinite(t) for t in _tensors((args, kwargs)) if id(t) not in self.known)
            or any(isinstance(a, float) and math.isinf(a) for a in pytree.tree_leaves((args, kwargs))),
        )
        self._note(step, result)
        return result

    def _key(self, name: str, mark: Mark | None) -> Key:
        frame = mark.frames[0] if mark and mark.frames else None
        place = (name, frame.path, frame.span) if frame else (name, self.origin)
        count = self.counts[place] = self.counts.get(place, 0) + 1
        return (*place, count)

    def _note(self, step: Step, result: Any) -> None:
        self.record.steps.append(step)
        for tensor in _tensors(result):
            self.known[id(tensor)] = len(self.record.steps) - 1
            self.alive.append(tensor)  # an id means something only while its tensor lives

    def _argument(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return ("step", self.known[id(value)]) if id(value) in self.known else ("constant", value)
        return value

    def watch_backward(self) -> None:
        """Before each backward function runs, say which forward op it belongs to."""
        for step, tensor in [(self.record.steps[self.known[id(t)]], t) for t in self.alive]:
            if tensor.grad_fn is not None:
                tensor.grad_fn.register_prehook(functools.partial(self._enter, step.key))

    def _enter(self, key: Key, grads: Any) -> None:
        self.origin = key


def _with_output(mark: Mark | None, output: str) -> Mark | None:
    from dataclasses import replace

    return replace(mark, output=output) if mark else None


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [t for t in pytree.tree_leaves(tree) if isinstance(t, torch.Tensor)]


def _detached(value: Any) -> Any:
    return pytree.tree_map(lambda v: v.detach().clone() if isinstance(v, torch.Tensor) else v, value)


def _is_infinite(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and bool(torch.isinf(tensor).any())


def record(
    program: Program,
    seed: int,
    tensors: Sequence[torch.Tensor],
    moved: tuple[Key, Override] | int | None = None,
    direction: torch.Tensor | None = None,
    validates: bool = False,
    backward: bool = True,
) -> Record:
    """Run forward and, if asked for, backward once. `moved` is an op whose output is replaced, or the position of a
    moved leaf; the gradient is taken with respect to it (else to all leaves), the slope along `direction`. With
    `validates` distributions check their arguments, as they do in training."""
    found = Record(leaves=len(tensors))
    mode = _Recorder(found, moved if isinstance(moved, tuple) else None)
    starts = starts_of(program, tensors)
    trained = [t for t in starts if t.requires_grad]  # before the code can ask for a gradient of its data
    for leaf, tensor in zip(program.leaves, starts, strict=True):
        mode.leaf(tensor, ("leaf", leaf.name))
    with quiet_numerics(seed, validates), torch.enable_grad():
        try:
            with program.holding(*starts), mode.watching(program.model):
                loss = program.call(*starts)
                found.loss = float(loss.detach())
                found.loss_step = _step_of(found, mode.known.get(id(loss)))
                if backward:
                    _backward(found, mode, loss, starts, trained, moved, direction)
        except Exception as error:  # whatever the user's code raises at this point is the finding
            found.error = error.with_traceback(None)  # its frames hold every value of the run, and the run holds it
    return found


def starts_of(program: Program, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Copies of the leaves to start from; weights and inputs ask for a gradient."""
    starts = [t.detach().clone() for t in tensors]
    for leaf, tensor in zip(program.leaves, starts, strict=True):
        tensor.requires_grad_(tensor.is_floating_point() and leaf.role in ("weight", "input"))
    return starts


def _step_of(found: Record, known: int | None) -> int:
    """The step that gave the loss: by identity, else the last that gave this one number."""
    if known is not None:
        return known
    for i in range(len(found.steps) - 1, -1, -1):
        value = found.steps[i].value
        if isinstance(value, torch.Tensor) and value.numel() == 1 and _same(float(value), found.loss):
            return i
    return len(found.steps) - 1


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _backward(
    found: Record,
    mode: _Recorder,
    loss: torch.Tensor,
    starts: list[torch.Tensor],
    trained: list[torch.Tensor],
    moved: tuple[Key, Override] | int | None,
    direction: torch.Tensor | None,
) -> None:
    head = [mode.head] if mode.head is not None else [starts[moved]] if isinstance(moved, int) else trained
    wanted = [t for t in head if t.requires_grad] or trained
    if not loss.requires_grad or not wanted:
        return
    mode.watch_backward()
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    found.gradients = tuple(g.detach() for g in gradients)
    if direction is not None and len(gradients) == 1 and gradients[0].shape == direction.shape:
        found.slope = float((found.gradients[0] * direction.to(found.gradients[0].dtype)).sum())
