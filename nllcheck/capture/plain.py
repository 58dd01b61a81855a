"""The fx graph in plain values: rule names, normalised spellings, sites and names. One plain node per fx node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import fx

from nllcheck import ops
from nllcheck.capture.lines import Mark, site_of, variables
from nllcheck.capture.program import Leaf
from nllcheck.types import Discarded, Graph, Node, Ref


def plain_graph(module: fx.GraphModule, leaves: tuple[Leaf, ...], values: tuple[Any, ...]) -> Graph:
    """Translate `module` node by node.

    `values` are the nodes' values on the batch (for shapes, dtypes and constants), parallel to the nodes
    without the `output` node.
    """
    nodes = [n for n in module.graph.nodes if n.op != "output"]
    index = {n: i for i, n in enumerate(nodes)}
    names = _names(nodes, leaves)
    plain = _with_output_sites([_node(i, n, index, names[i], values[i]) for i, n in enumerate(nodes)], nodes)
    loss = module.graph.output_node().args[0]
    loss = loss[0] if isinstance(loss, (tuple, list)) else loss
    targets = tuple(i for i, leaf in enumerate(leaves) if leaf.role == "target")
    outputs = tuple(i for i, n in enumerate(nodes) if (m := mark_of(n)) and m.output)
    weights = frozenset(leaf.name for leaf in leaves if leaf.role == "weight")
    buffers = tuple(i for i, leaf in enumerate(leaves) if leaf.role == "buffer")
    return Graph(plain, index[loss], outputs, targets, weights, _discarded(module, index), buffers=buffers)


def terms_in(graph: Graph, names: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """The nodes of a loss's terms, which the end of the program adds up in their order; () where it does not."""
    found: list[int] = []
    left = _behind_views(graph, graph.loss)
    for _ in names[1:]:
        node = graph.nodes[left]
        if node.op != "add" or not all(isinstance(a, Ref) for a in node.args[:2]):
            return ()
        left, right = (_behind_views(graph, a.index) for a in node.args[:2])
        found.insert(0, right)
    return tuple(zip(names, [left, *found], strict=True)) if names else ()


def _behind_views(graph: Graph, index: int) -> int:
    node = graph.nodes[index]
    while ops.is_transparent(node.op) and node.args and isinstance(node.args[0], Ref):
        node = graph.nodes[node.args[0].index]
    return node.index


def _discarded(module: fx.GraphModule, index: dict[fx.Node, int]) -> tuple[Discarded, ...]:
    """Guards that the trace met and nothing used, in the user's own lines, where what they guard is still there."""
    found = []
    for node, guarded in module.meta.get("discarded", ()):
        mark = mark_of(node)
        if mark and guarded in index:
            found.append(Discarded(op_of(node), index[guarded], site_of(mark.frames, None)))
    return tuple(found)


def _with_output_sites(plain: list[Node], nodes: list[fx.Node]) -> tuple[Node, ...]:
    """A hand-over clone is the tool's own op: it takes the line of the value that it hands over."""
    for i, node in enumerate(nodes):
        mark = mark_of(node)
        if mark and mark.output and isinstance(plain[i].args[0], Ref):
            plain[i] = replace(plain[i], site=plain[plain[i].args[0].index].site)
    return tuple(plain)


def mark_of(node: fx.Node) -> Mark | None:
    """The mark noted when the op was dispatched; None for placeholders and constants."""
    return (node.meta.get("custom") or {}).get("mark")


def op_of(node: fx.Node) -> str:
    """The rule name of an fx node."""
    if node.op == "placeholder":
        return "input"
    return "constant" if node.op == "get_attr" else ops.rule_name(str(node.target))


def _names(nodes: list[fx.Node], leaves: tuple[Leaf, ...]) -> list[str | None]:
    marks = [mark_of(n) if n.op == "call_function" else None for n in nodes]
    selecting = [op_of(n) == "select" for n in nodes]
    named = variables(marks, selecting)
    for i, leaf in enumerate(leaves):
        named[i] = leaf.name
    for i, mark in enumerate(marks):
        named[i] = mark.output if mark and mark.output else named[i]
    return named


def _node(i: int, node: fx.Node, index: dict[fx.Node, int], name: str | None, value: Any) -> Node:
    mark = mark_of(node) if node.op == "call_function" else None
    tensor = value if isinstance(value, torch.Tensor) else None
    op, args = _normalised(node, index)
    if node.op == "get_attr" and tensor is not None and tensor.numel() == 1:
        args = (tensor.item(),)
    return Node(
        index=i,
        op=op,
        args=args,
        aten=str(node.target) if node.op == "call_function" else node.op,
        site=site_of(mark.frames, name) if mark else None,
        zone="loss" if mark and not mark.in_model else "model",
        name=name,
        shape=() if tensor is None else tuple(tensor.shape),
        dtype="" if tensor is None else str(tensor.dtype).removeprefix("torch."),
        kwargs=tuple((k, _arg(v, index)) for k, v in sorted(node.kwargs.items())),
        inside=mark.inside if mark else (),
        within=site_of((mark.within,)) if mark and mark.within else None,
        meant=mark.meant if mark else "",
    )


def _normalised(node: fx.Node, index: dict[fx.Node, int]) -> tuple[str, tuple[Any, ...]]:
    args = tuple(_arg(a, index) for a in node.args)
    return normalised(str(node.target), args) if node.op == "call_function" else (op_of(node), args)


def normalised(aten: str, args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Rule name and arguments as a person would write them: `rsub(x, 1)` is `1 - x`, `x * x` is `x ** 2`."""
    op, spelled = ops.rule_name(aten), ops.packet(aten)
    if spelled == "rsub":
        args = (args[1], args[0], *args[2:])
    elif spelled == "reciprocal":
        args = (1.0, args[0])
    elif spelled == "square" or (op == "mul" and isinstance(args[0], Ref) and args[0] == args[1]):
        op, args = "pow", (args[0], 2)
    return op, args


def _arg(value: Any, index: dict[fx.Node, int]) -> Any:
    if isinstance(value, fx.Node):
        return Ref(index[value])
    if isinstance(value, (tuple, list)):
        return tuple(_arg(v, index) for v in value)
    return value if isinstance(value, (int, float, bool, str, type(None))) else str(value)
