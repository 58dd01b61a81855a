"""Records -> a plain graph, so that axes, rules and reports work as they do for a captured loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from nllcheck import ops
from nllcheck.capture.lines import site_of, variables
from nllcheck.capture.plain import normalised
from nllcheck.capture.program import Program
from nllcheck.eager.record import Key, Record, Step
from nllcheck.types import Graph, Node, Ref


@dataclass
class Book:
    """All ops that any run has shown, in order of appearance; grows as other branches are met."""

    program: Program
    nodes: list[Node] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    index: dict[Key, int] = field(default_factory=dict)
    outputs: list[int] = field(default_factory=list)
    loss: int = 0

    def add(self, record: Record) -> None:
        """Enter the ops of a run that are new: those forward, and those of a user's own `backward`."""
        steps = [s for s in record.steps if s.is_own]
        names = variables([s.mark for s in steps], [ops.rule_name(s.aten) == "select" for s in steps])
        positions = {i: s.key for i, s in enumerate(record.steps)}
        for step, name in zip(steps, names, strict=True):
            if step.key not in self.index:
                self._enter(step, name, positions)

    def _enter(self, step: Step, name: str | None, positions: dict[int, Key]) -> None:
        at = self.index[step.key] = len(self.nodes)
        tensor = step.value if isinstance(step.value, torch.Tensor) else None
        mark = step.mark
        if mark and mark.output:
            name = mark.output
            self.outputs.append(at)
        op, args = normalised(step.aten, tuple(self._argument(a, positions) for a in step.args))
        source = args[0] if args and isinstance(args[0], Ref) else None
        site = site_of(mark.frames, name) if mark else None
        self.nodes.append(
            Node(
                index=at,
                op="input" if step.aten == "input" else op,
                args=args,
                aten=step.aten,
                site=self.nodes[source.index].site if mark and mark.output and source else site,
                zone="loss" if mark and not mark.in_model else "model",
                name=step.key[1] if step.aten == "input" else name,
                shape=() if tensor is None else tuple(tensor.shape),
                dtype="" if tensor is None else str(tensor.dtype).removeprefix("torch."),
            )
        )
        self.values.append(step.value)

    def _argument(self, value: Any, positions: dict[int, Key]) -> Any:
        if isinstance(value, tuple) and len(value) == 2 and value[0] == "step":
            return Ref(self.index[positions[value[1]]]) if positions[value[1]] in self.index else None
        if isinstance(value, tuple) and len(value) == 2 and value[0] == "constant":
            return value[1].item() if value[1].numel() == 1 else None
        if isinstance(value, list):
            return tuple(self._argument(v, positions) for v in value)
        return value if isinstance(value, (int, float, bool, str, type(None))) else str(value)

    @property
    def graph(self) -> Graph:
        """The plain graph of everything seen so far."""
        leaves = self.program.leaves
        targets = tuple(i for i, leaf in enumerate(leaves) if leaf.role == "target")
        weights = frozenset(leaf.name for leaf in leaves if leaf.role == "weight")
        buffers = tuple(i for i, leaf in enumerate(leaves) if leaf.role == "buffer")
        return Graph(tuple(self.nodes), self.loss, tuple(self.outputs), targets, weights, buffers=buffers)
