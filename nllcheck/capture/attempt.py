"""Capture, checked: a graph that does not reproduce the user's own code is not used."""

from __future__ import annotations

import warnings

from nllcheck.capture import LossGraph, capture
from nllcheck.capture.lines import site_of
from nllcheck.capture.own import OwnBackward, derived
from nllcheck.capture.verify import close_gradients, disagreements, replayed
from nllcheck.errors import raise_own
from nllcheck.target import Batch, Target
from nllcheck.types import Site


def captured(
    target: Target, batch: Batch, seed: int, like: LossGraph | None = None
) -> tuple[LossGraph | None, tuple[str, ...]]:
    """The loss as a graph, with remarks on what it holds for; None and the reasons when there is no such graph.

    With `like` it must be the same program, op for op. What the model's inputs select is taken for fixed, as they are
    in training, unless that makes no graph.
    """
    found = _tried(target, batch, seed, like, False)
    if found[0] is None and target.model is not None:
        other = _tried(target, batch, seed, like, True)
        return found if other[0] is None else other
    return found


def _tried(
    target: Target, batch: Batch, seed: int, like: LossGraph | None, inputs_select: bool
) -> tuple[LossGraph | None, tuple[str, ...]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = capture(target, batch, seed, inputs_select)
            if like and [n.op for n in graph.graph.nodes] != [n.op for n in like.graph.nodes]:
                return None, ("another program",)
            wrong = disagreements(graph)
    except Exception as error:  # whatever the tracer or the user's code under it raises
        raise_own(error)
        text = str(error).strip().splitlines()
        return None, (f"the loss could not be traced ({type(error).__name__}: {text[0][:160] if text else ''})",)
    own = graph.module.meta["own_backward"]
    if own and wrong:
        return None, (_own_backward(own), *wrong)
    if wrong:
        return None, (*wrong, *_branch_lines(graph))
    _compare_derivatives(graph)
    return graph, ()


def _own_backward(names: tuple[str, ...]) -> str:
    return f"{', '.join(names)} bring{'s its' if len(names) == 1 else ' their'} own backward"


def remarks_on(graph: LossGraph) -> tuple[str, ...]:
    """What the captured graph holds for."""
    return (*guarded_branches(graph), *_own_slopes(graph))


def _own_slopes(graph: LossGraph) -> tuple[str, ...]:
    """A remark on functions whose own backward is not the derivative of their forward."""
    names = tuple(dict.fromkeys(op.function.__qualname__ for op in _own_ops(graph) if not op.is_derivative))
    its = "its" if len(names) == 1 else "their"
    meant = "a straight-through or reversed gradient is meant so; torch.autograd.gradcheck tells of others"
    text = f"{_own_backward(names)}, which is not the derivative of {its} forward: slopes here are {its} own ({meant})"
    return (text,) if names else ()


def _own_ops(graph: LossGraph) -> list[OwnBackward]:
    return [n.target for n in graph.fx_nodes if isinstance(n.target, OwnBackward)]


def _compare_derivatives(graph: LossGraph) -> None:
    """Finds out of each function with a backward that somebody wrote whether that is the derivative, on the batch."""
    ops, tensors = _own_ops(graph), [leaf.value for leaf in graph.program.leaves]
    own = replayed(graph, tensors)[1] if ops else []
    for function in dict.fromkeys(op.function for op in ops):
        with derived(function):
            _, other = replayed(graph, tensors)
        is_derivative = len(own) == len(other) and close_gradients(own, other)
        for op in (op for op in ops if op.function is function):
            op.is_derivative = is_derivative


def _branch_lines(graph: LossGraph, told: frozenset[Site] = frozenset()) -> list[str]:
    sites = list(dict.fromkeys(site for _, site in graph.branches if site and site not in told))
    return [f"Python reads a tensor's value at {_place(site)}, so the code may branch there" for site in sites[:3]]


def _place(site: Site) -> str:
    return f"{site.path}:{site.line} ({site.source})"


def guarded_branches(graph: LossGraph) -> tuple[str, ...]:
    """Remarks on value-dependent branches in the user's own lines: the capture holds for the way taken."""
    asked = [mark for _, mark in graph.module.meta.get("asked", ()) if mark]
    sites = dict.fromkeys(site for mark in asked if (site := site_of(mark.frames)))
    about = [f"the code asks how many are selected at {_place(site)}: checked where some are" for site in sites]
    branches = [f"{line}: checked for the way the batch takes" for line in _branch_lines(graph, frozenset(sites))]
    return (*about, *branches)
