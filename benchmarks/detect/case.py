"""A case: a loss, an ordinary batch for it, where it comes from, and what a checker should say about it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

MARK = "# <- here"  # stands on the line that is to be edited; where two lines are equally to blame, on both
SEED = 20

Spec = Callable[[torch.Generator], Tensor]  # draws one tensor
Change = Callable[[dict[str, Tensor]], None]  # edits tensors (and weights) by name, in place


@dataclass(slots=True)
class Setup:
    """One batch: named tensors for a bare function, or a model with `inputs` and `targets`."""

    tensors: dict[str, Tensor]
    targets: tuple[str, ...] = ()
    model: nn.Module | None = None

    def state(self) -> dict[str, Tensor]:
        """Everything that a `Change` may edit: the batch by name and the weights by their dotted names."""
        weights = dict(self.model.named_parameters()) if self.model is not None else {}
        return {**self.tensors, **weights}


@dataclass(frozen=True, slots=True)
class Bug:
    """What is wrong. Several kinds, ops or verdicts: each of them is a right answer."""

    kinds: tuple[str, ...]
    ops: tuple[str, ...]
    phases: tuple[str, ...]
    verdicts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the benchmark; `bug` is None for a loss on which every error or warning is a false alarm."""

    id: str  # "family/function"
    loss: Callable[..., Any]
    setup: Callable[[], Setup]
    origin: str
    bug: Bug | None = None
    extreme: Change | None = None  # leads to values a training run can reach: where a bug fails, and a sound loss holds
    where: tuple[Any, ...] = field(default=())  # what holds the mark, if not the loss itself

    def extreme_setup(self) -> Setup | None:
        """The batch at extreme values, or None for a case without."""
        if self.extreme is None:
            return None
        setup = self.setup()
        with torch.no_grad():
            self.extreme(setup.state())
        return setup

    def marks(self) -> frozenset[tuple[str, int]]:
        """(file, line) of every marked line."""
        found = set()
        for holder in self.where or (self.loss,):
            lines, start = inspect.getsourcelines(holder)
            path = inspect.getsourcefile(holder) or ""
            found |= {(path, start + k) for k, line in enumerate(lines) if MARK in line}
        return frozenset(found)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def bug(
    loss: Callable[..., Any],
    setup: Callable[[], Setup],
    op: str,
    origin: str,
    extreme: Change | None = None,
    *,
    kind: str = "nan inf",
    verdict: str = "defect",
    phase: str = "forward backward",
    where: tuple[Any, ...] = (),
) -> Case:
    """A defective loss. `op`, `kind`, `verdict` and `phase` list every right answer, separated by blanks."""
    expected = Bug(_words(kind), _words(op), _words(phase), _words(verdict))
    return Case(_name(loss, setup), loss, setup, origin, expected, extreme, where)


def sound(loss: Callable[..., Any], setup: Callable[[], Setup], origin: str, extreme: Change | None = None) -> Case:
    """A correct loss, however suspicious it looks."""
    return Case(_name(loss, setup), loss, setup, origin, None, extreme)


def _name(loss: Callable[..., Any], setup: Callable[[], Setup]) -> str:
    """family/function, and the model's class where the case has one."""
    plain = getattr(loss, "__name__", None) or type(loss).__name__
    model = getattr(setup, "model_name", "")
    return f"{(loss.__module__ or '').rpartition('.')[2]}/{plain}" + (f"[{model}]" if model else "")


# ---- batches -----------------------------------------------------------------------------------------------------


def given(target: str = "", **specs: Spec) -> Callable[[], Setup]:
    """A batch for a bare function: `given(logits=normal(8, 4), y=classes(8, 4), target="y")`."""

    def setup() -> Setup:
        generator = torch.Generator().manual_seed(SEED)
        return Setup({name: spec(generator) for name, spec in specs.items()}, _words(target))

    return setup


def modelled(build: Callable[[], nn.Module], inputs: Spec, targets: Spec) -> Callable[[], Setup]:
    """A freshly initialised model and its batch; the weights are the same at every call."""

    def setup() -> Setup:
        generator = torch.Generator().manual_seed(SEED)
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            model = build()
        return Setup({"inputs": inputs(generator), "targets": targets(generator)}, ("targets",), model)

    if isinstance(build, type):
        setup.model_name = build.__name__  # type: ignore[attr-defined]
    return setup


def normal(*shape: int, scale: float = 1.0, shift: float = 0.0) -> Spec:
    return lambda g: torch.randn(shape, generator=g) * scale + shift


def positive(*shape: int, around: float = 1.0) -> Spec:
    return lambda g: torch.exp(0.4 * torch.randn(shape, generator=g)) * around


def unit(*shape: int) -> Spec:
    """Strictly inside (0, 1)."""
    return lambda g: 0.05 + 0.9 * torch.rand(shape, generator=g)


def simplex(*shape: int) -> Spec:
    return lambda g: torch.softmax(torch.randn(shape, generator=g), -1)


def classes(rows: int, count: int) -> Spec:
    return lambda g: torch.randint(count, (rows,), generator=g)


def onehot(rows: int, count: int) -> Spec:
    return lambda g: torch.eye(count)[torch.randint(count, (rows,), generator=g)]


def bits(*shape: int) -> Spec:
    """Labels 0.0 and 1.0, both present."""

    def draw(g: torch.Generator) -> Tensor:
        labels = torch.randint(2, shape, generator=g).float()
        labels.view(-1)[:2] = torch.tensor([0.0, 1.0])
        return labels

    return draw


def counts(*shape: int, mean: float = 3.0) -> Spec:
    return lambda g: torch.poisson(torch.full(shape, mean), generator=g)


def fixed(value: Any) -> Spec:
    return lambda g: torch.as_tensor(value).clone()


# ---- extreme values ----------------------------------------------------------------------------------------------


def put(values: Mapping[str, float] | None = None, **named: float) -> Change:
    """Write one value into the first element of each named tensor (dotted names of weights in the mapping)."""

    def change(state: dict[str, Tensor]) -> None:
        for name, value in {**(values or {}), **named}.items():
            state[name].view(-1)[0] = value

    return change


def fill(values: Mapping[str, float] | None = None, **named: float) -> Change:
    """Write one value into every element of each named tensor."""

    def change(state: dict[str, Tensor]) -> None:
        for name, value in {**(values or {}), **named}.items():
            state[name].fill_(value)

    return change


def scale(values: Mapping[str, float] | None = None, **named: float) -> Change:
    """Multiply each named tensor."""

    def change(state: dict[str, Tensor]) -> None:
        for name, value in {**(values or {}), **named}.items():
            state[name].mul_(value)

    return change


def same(one: str, other: str) -> Change:
    """Make two tensors equal: distances become 0."""

    def change(state: dict[str, Tensor]) -> None:
        state[one].copy_(state[other])

    return change
