"""Contributions to a gradient that cancel where they are added up: no op of the program does that addition, so an op
that contributes is to blame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx

from nllcheck import ops
from nllcheck.sweep.joint import Joint

LARGE = 0.5  # of the largest contribution: what is smaller has not cancelled it


def to_blame(joint: Joint, name: str, values: Mapping[str, Any]) -> int:
    """The forward op (plain index) that an op of the joint graph computes or differentiates.

    Of an addition of contributions to one gradient, the last op that makes one of the large ones. `values`: of every
    op, by name.
    """
    node = _source(joint, next(n for n in joint.module.graph.nodes if n.name == name))
    if not _is_adding(joint, node):
        return joint.ops[name].origin
    sizes = {part: float(values[part.name].abs().max()) for part in _contributions(joint, node)}
    most = max(sizes.values())
    return max(joint.ops[part.name].origin for part, size in sizes.items() if not size < LARGE * most)


def _source(joint: Joint, node: fx.Node) -> fx.Node:
    """Of a product with such an addition the addition: a product keeps the digits of what it is given, but makes them
    count where only some elements have lost theirs."""
    if ops.packet(str(node.target)) not in ("mul", "div"):
        return node
    return next((part for part in node.all_input_nodes if _is_adding(joint, part)), node)


def _contributions(joint: Joint, node: fx.Node) -> list[fx.Node]:
    """What autograd adds up here, the op itself if it is no such addition."""
    if not _is_adding(joint, node):
        return [node]
    return [one for part in node.all_input_nodes for one in _contributions(joint, part)]


def _is_adding(joint: Joint, node: fx.Node) -> bool:
    """Does it add up what two ops contribute?"""
    op = joint.ops.get(node.name)
    if op is None or ops.packet(str(node.target)) != "add" or op.phase != "backward":
        return False
    parts = [joint.ops.get(a.name) for a in node.args if isinstance(a, fx.Node)]
    backward = [p for p in parts if p is not None and p.phase == "backward"]
    return len(backward) == 2 and any(p.origin != op.origin for p in backward)
