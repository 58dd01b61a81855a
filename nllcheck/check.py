"""The whole check, in the order in which it happens. Read this first.

    load -> capture -> axes -> sweep -> search -> pairs -> detect -> density -> judge -> diagnose -> report

Every stage is a function from one frozen value to the next; `run` calls them. `load` has happened before: it
makes the `Target` from files, `check` and `check_function` make it from live objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from nllcheck.axes import default_axes
from nllcheck.axes.inside import inside_axes
from nllcheck.axes.selection import steering
from nllcheck.axes.spec import Spec, parse, requested_axis
from nllcheck.callable_module import make_callable
from nllcheck.capture import LossGraph
from nllcheck.capture.attempt import captured, guarded_branches
from nllcheck.density import check_options, density
from nllcheck.density.words import told, untold
from nllcheck.detect import detect
from nllcheck.detect.breaks import breaks
from nllcheck.detect.lines import line_bits
from nllcheck.diagnose import diagnose
from nllcheck.eager import by_hand
from nllcheck.eager.raises import raises
from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.judge import signs, verdicts
from nllcheck.judge.sample import sampler
from nllcheck.judge.series import Reading, read_all
from nllcheck.options import Clock, Options, bytes_of, effort_of, options_of, settings_of
from nllcheck.pairs import pairs
from nllcheck.prepare import device_of, dtype_of, first_look, prepared, quiet, with_terms
from nllcheck.replay import replayed
from nllcheck.report import Report
from nllcheck.rules import Rule
from nllcheck.rules import load as load_rules
from nllcheck.search import search
from nllcheck.structure import structure
from nllcheck.summary import complex_steps, facts_of, summed_terms, sweep_table
from nllcheck.sweep import Swept, extended, planned, sweep
from nllcheck.sweep.plan import Plan
from nllcheck.sweep.watch import UnsweepableError
from nllcheck.target import Batch, Target, split_batch, style_of
from nllcheck.types import Axis, Candidate, Effort, PairMap


def run(target: Target, options: Options | None = None) -> Report:
    """Check one target. Raises NllcheckError for input that cannot be checked."""
    options = options or Options()
    clock = Clock(options.progress)
    specs = [parse(text) for text in options.sweep]
    check_options(options.support, options.base_measure)
    rules = load_rules(tuple(options.rules))
    target, batch = _ready(target, options)

    with quiet():
        report = _checked(target, batch, options, specs, rules, clock)
    step = replayed(target, batch, options.seed)
    return replace(report, findings=(*report.findings, step)) if step else report


def _checked(
    target: Target, batch: Batch, options: Options, specs: list[Spec], rules: tuple[Rule, ...], clock: Clock
) -> Report:
    """By the captured graph; where there is none, or a stage cannot handle it, by the user's function op by op."""
    clock.start("capture")
    graph, remarks = captured(target, batch, options.seed)
    if graph is None:
        return _by_hand(target, batch, options, rules, remarks)
    try:
        return _by_graph(target, batch, graph, options, specs, rules, clock)
    except NllcheckError:
        raise
    except Exception as error:  # an op that cannot be run at many points, or one that no stage expects
        return _by_hand(target, batch, options, rules, (_first_line(error),))


def _ready(target: Target, options: Options) -> tuple[Target, Batch]:
    """The target on its device, and the batch that is traced."""
    target = with_terms(prepared(target, device_of(options.device), dtype_of(options.dtype)), options.seed)
    losses = [first_look(target, batch, options.seed) for batch in target.batches]
    return target, _most_telling(target.batches, losses)


def plan_of(target: Target, options: Options) -> Plan:
    """The sweep of a check and nothing else: what a shard does its part of.

    Raises NllcheckError also for a loss that is not one graph, since nothing of that can be shared out.
    """
    specs = [parse(text) for text in options.sweep]
    target, batch = _ready(target, options)
    graph, remarks = captured(target, batch, options.seed)
    try:
        if graph is None:
            raise UnsweepableError("; ".join(remarks))
        effort = effort_of(options.effort)
        axes, named, _ = _axes(graph, specs, effort)
        return planned(graph, axes, named, count=options.points, effort=effort, memory=bytes_of(options.memory))
    except UnsweepableError as error:
        hint = "run it without --shard: it is run op by op"
        raise NllcheckError(f"this loss cannot be shared out: {error}", where=target.name, hint=hint) from None


def _by_graph(
    target: Target,
    batch: Batch,
    graph: LossGraph,
    options: Options,
    specs: list[Spec],
    rules: tuple[Rule, ...],
    clock: Clock,
) -> Report:
    """The stages after capture, in their order."""
    clock.start("axes")
    effort = effort_of(options.effort)
    axes, named, skipped = _axes(graph, specs, effort)
    if steering(graph.graph) and not any(a.is_boundary and a.role != "target" for a in axes):
        raise UnsweepableError("what could move decides which elements are selected")
    clock.start("sweep")
    memory = bytes_of(options.memory)
    swept = sweep(graph, axes, named, count=options.points, effort=effort, memory=memory, tell=options.progress,
                  engine=options.engine)  # fmt: skip
    clock.start("search")
    swept, searched, unsearched = _searched(graph, swept, options)
    clock.start("pairs")
    swept, maps, unmapped = _mapped(graph, swept, options)
    clock.start("detect")
    found, seen = detect(graph, swept, options.min_bits)
    clock.start("density")
    answer = density(
        graph,
        tuple(a for a in axes if a.role != "hidden"),
        target.loss_name,
        support=options.support,
        base_measure=options.base_measure,
        nll=options.nll,
    )
    clock.start("judge")
    judged = verdicts(found, swept, graph.loss.dtype, sampler(target, batch, graph))
    judged += signs(graph, swept, *_readings(target, graph), answer)
    clock.start("variations")
    other = structure(target, batch, options.seed, "quick" if specs else effort)
    clock.start("exceptions")
    refused = raises(target, batch, options.seed, bool(graph.branches))
    clock.start("margins")
    edges, bits = breaks(graph, swept), line_bits(graph, swept, memory)
    clock.start("diagnose")
    findings = diagnose(
        graph.graph,
        tuple(judged),
        rules,
        answer,
        ((other.graph, other.judged), (refused.graph, refused.judged)),
        command=target.command,
    )
    clock.end()
    drawn = {finding.axis for finding in findings if finding.axis}
    tables = tuple(sweep_table(part, drawn) for part in swept.parts)
    facts = facts_of(
        target, graph.loss, "graph", graph.graph, tables, options.seed, clock.seconds, settings_of(options)
    )
    return Report(
        facts=facts,
        findings=findings,
        sweeps=tables,
        notes=(*seen, *summed_terms(target), *guarded_branches(graph), *told(answer, (f.message for f in findings))),
        skipped=(*skipped, *complex_steps(graph.graph), *unsearched, *unmapped, *other.skipped, *untold(answer)),
        fail_on=options.fail_on,
        breaks=edges,
        searched=searched,
        bits=bits,
        densities=answer.curves,
        pairs=maps,
    )


def _searched(graph: LossGraph, swept: Swept, options: Options) -> tuple[Swept, tuple[Candidate, ...], tuple[str, ...]]:
    """The sweeps with the ways to what a guided search found. It comes on top: what stops it is told, no more."""
    memory = bytes_of(options.memory)
    try:
        ways, told = search(graph, swept, effort=effort_of(options.effort), memory=memory)
        return extended(swept, ways, memory), told, ()
    except Exception as error:  # an op without a derivative, or without a rule for many points at once
        return swept, (), (f"guided search: because {_first_line(error)}",)


def _mapped(graph: LossGraph, swept: Swept, options: Options) -> tuple[Swept, tuple[PairMap, ...], tuple[str, ...]]:
    """The sweeps with the ways to what fails only at two values at once, and the maps. On top, too."""
    memory = bytes_of(options.memory)
    try:
        ways, maps = pairs(graph, swept, effort=effort_of(options.effort), memory=memory)
        return extended(swept, ways, memory), maps, ()
    except Exception as error:  # the same that stop a search
        return swept, (), (f"maps of two axes: because {_first_line(error)}",)


def _first_line(error: Exception) -> str:
    text = (str(error).strip() or "no message").splitlines()[0][:200]
    return text if isinstance(error, UnsweepableError) else f"{type(error).__name__}: {text}"


def check(
    loss: Callable[..., Any], *, model: torch.nn.Module | None = None, batch: Any = None, **options: Any
) -> Report:
    """Check `loss` as it is trained: on `model` and one `batch`.

    Args:
        loss: called as `loss(output, target)`, `loss(*outputs, target)` or, with a first parameter named
            `model`, as `loss(model, batch)`; returns the scalar that training minimises.
        model: in the mode (train or eval) in which it is to be checked; it is not changed.
        batch: `(inputs, targets)`; inputs a tensor, a tuple (positional) or a dict (keywords) for the model;
            targets are passed to the loss as they are. A list of `Batch` values follows several of them.
        options: see `Options`; `sweep` may also be `{"rho": (-1, 1)}`.

    Raises:
        NllcheckError: input that cannot be checked, with the place and what to do.
    """
    if model is None:
        raise NllcheckError("check needs a model", hint="for a bare function use nllcheck.check_function(fn, {...})")
    if batch is None:
        raise NllcheckError("check needs a batch", hint="pass batch=(inputs, targets)")
    batches = tuple(batch) if _is_batches(batch) else (split_batch(batch),)
    name = _name_of(loss)
    target = Target(type(model).__name__, loss, name, model, batches, style_of(loss))
    return run(target, options_of(options))


def check_function(
    fn: Callable[..., Any],
    tensors: Mapping[str, torch.Tensor],
    *,
    target: str | tuple[str, ...] | None = None,
    **options: Any,
) -> Report:
    """Check a bare loss of named tensors, `fn(mu=..., sigma=..., y=...) -> scalar`.

    `target` names the tensors that are observed data; all others move. Options and errors as in `check`.
    """
    names = (target,) if isinstance(target, str) else tuple(target or ())
    unknown = [n for n in names if n not in tensors]
    if unknown:
        raise NllcheckError(f"there is no tensor named '{unknown[0]}'", hint=did_you_mean(unknown[0], set(tensors)))
    batch = Batch(kwargs=dict(tensors), whole=dict(tensors))
    name = _name_of(fn)
    return run(Target(name, fn, name, None, (batch,), "function", target_names=names), options_of(options))


def _is_batches(batch: Any) -> bool:
    return isinstance(batch, (list, tuple)) and bool(batch) and all(isinstance(b, Batch) for b in batch)


def _name_of(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", None) or type(function).__name__


def _most_telling(batches: tuple[Batch, ...], losses: list[torch.Tensor]) -> Batch:
    """The first batch whose loss is not finite, else the first."""
    broken = [b for b, loss in zip(batches, losses, strict=True) if not bool(torch.isfinite(loss))]
    return (broken or list(batches))[0]


def _axes(
    graph: LossGraph, specs: list[Spec], effort: Effort
) -> tuple[tuple[Axis, ...], dict[str, Spec], tuple[str, ...]]:
    """The axes to sweep, the requested ranges by label, and what is left out."""
    if not specs:
        axes, skipped = default_axes(graph)
        inside, left = inside_axes(graph, effort)
        return (*axes, *inside), {}, (*skipped, *left)
    asked = [requested_axis(graph, spec) for spec in specs]
    return tuple(asked), {axis.label: spec for axis, spec in zip(asked, specs, strict=True)}, ()


Pair = tuple[list[Reading], list[Reading]]


def _readings(target: Target, graph: LossGraph) -> tuple[Pair, Pair]:
    """Loss and gradient of every batch and of every checkpoint, in the training dtype and in float64."""
    return read_all(graph, target.batches, ()), read_all(graph, (), target.checkpoints)


def _by_hand(target: Target, batch: Batch, options: Options, rules: tuple[Rule, ...], why: tuple[str, ...]) -> Report:
    """The same report for a loss that could not be captured: the function itself, op by op."""
    clock = Clock(options.progress)
    clock.start("running op by op")
    specs = [parse(text) for text in options.sweep]
    outcome = by_hand(target, batch, specs, options.seed, options.points)
    other = structure(target, batch, options.seed, "quick" if specs else effort_of(options.effort))
    others = ((other.graph, other.judged),)
    findings = diagnose(outcome.graph, outcome.judged, rules, others=others, command=target.command)
    clock.stop()
    facts = facts_of(target, outcome.loss, "eager", outcome.graph, outcome.sweeps, options.seed, clock.seconds,
                     settings_of(options))  # fmt: skip
    reason = f"run op by op at {facts.points} points instead of as one graph: {'; '.join(why)}"
    untested = "density test, digits lost and break map: because the loss was run op by op, not as a graph"
    skipped = (*outcome.skipped, untested, *other.skipped)
    return Report(facts, findings, outcome.sweeps, (reason,), skipped, fail_on=options.fail_on)


make_callable(__name__)
