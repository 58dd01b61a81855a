"""The stages of a check after capture, in their order: what moves, what failed, what it means, what is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from nllcheck.axes import default_axes
from nllcheck.axes.excerpt import Excerpt, Pair, excerpt_of, pair_of, rows_tested
from nllcheck.axes.goals import is_way_on
from nllcheck.axes.inside import inside_axes
from nllcheck.axes.selection import steering
from nllcheck.axes.spec import Spec, requested_axis
from nllcheck.capture import LossGraph
from nllcheck.capture.attempt import remarks_on
from nllcheck.capture.rows import on_some_rows
from nllcheck.compiled import as_compiled
from nllcheck.density import density, has_question
from nllcheck.density.apart import compared_with
from nllcheck.density.words import told, untold
from nllcheck.detect import detect, floor_of
from nllcheck.detect.breaks import breaks
from nllcheck.detect.lines import line_bits
from nllcheck.detect.whole import on_all_rows
from nllcheck.diagnose import diagnose
from nllcheck.eager.raises import raises
from nllcheck.errors import NllcheckError, raise_own
from nllcheck.judge import signs, verdicts
from nllcheck.judge.sample import sampler
from nllcheck.judge.series import Reading, read_all
from nllcheck.options import Clock, Options, bytes_of, effort_of, settings_of
from nllcheck.pairs import pairs
from nllcheck.report import Report
from nllcheck.rules import Rule
from nllcheck.search import search
from nllcheck.structure import structure
from nllcheck.summary import complex_steps, facts_of, summed_terms, sweep_table
from nllcheck.sweep import Swept, extended, planned, sweep
from nllcheck.sweep.plan import Plan
from nllcheck.sweep.watch import UnsweepableError
from nllcheck.target import Batch, Target
from nllcheck.types import Axis, Candidate, Density, Effort, Finding, Graph, Judged, PairMap


@dataclass(frozen=True, slots=True)
class _Swept:
    """What was evaluated: the sweeps with the ways that the search and the maps have found, and what was left out."""

    swept: Swept
    axes: tuple[Axis, ...]
    searched: tuple[Candidate, ...]
    maps: tuple[PairMap, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Judged:
    """What failed, with its verdict; what the density test says; and remarks on both."""

    judged: tuple[Judged, ...]
    answer: Density
    notes: tuple[str, ...]


def by_graph(
    target: Target,
    batch: Batch,
    graph: LossGraph,
    options: Options,
    specs: list[Spec],
    rules: tuple[Rule, ...],
    clock: Clock,
) -> Report:
    """Everything that is found on a captured loss. Raises whatever an op does that cannot be run at many points."""
    part = excerpt_of(target, batch, graph, effort_of(options.effort))
    pair = pair_of(target, part)
    had = _evaluated(part, pair, options, specs, clock)
    known = _judged(target, part, pair, had, options, clock)
    others, unvaried = _varied(target, batch, part, options, specs, clock)
    clock.start("margins")
    memory = bytes_of(options.memory)
    edges, bits = breaks(part.graph, had.swept, memory), line_bits(part.graph, had.swept, memory)
    apart, not_told = _compiled(target, part.graph, had.swept, options, clock)
    clock.start("diagnose")
    whole, alike = part.whole.graph, part.whole.uniform
    findings = diagnose(whole, known.judged, rules, known.answer, others, command=target.command, uniform=alike)
    clock.end()
    drawn = {finding.axis for finding in findings if finding.axis}
    tables = tuple(sweep_table(one, drawn) for one in had.swept.parts)
    told_so = told(known.answer, (f.message for f in findings))
    return Report(
        facts=facts_of(target, graph.loss, "graph", whole, tables, options.seed, clock.seconds, settings_of(options)),
        findings=(*findings, *apart),
        sweeps=tables,
        notes=(*_partly(part), *known.notes, *remarks_on(graph), *_fused(had.swept), *told_so),
        skipped=(*had.skipped, *complex_steps(whole), *unvaried, *untold(known.answer)),
        fail_on=options.fail_on,
        breaks=edges,
        searched=had.searched,
        bits=bits,
        densities=known.answer.curves,
        pairs=had.maps,
        incomplete=not_told,
    )


def _judged(target: Target, part: Excerpt, pair: Pair, had: _Swept, options: Options, clock: Clock) -> _Judged:
    """What failed on the sweeps, what the density test says, and a verdict on all of it."""
    clock.start("detect")
    found, seen = detect(part.graph, had.swept, options.min_bits)
    found, unconfirmed = on_all_rows(found, had.swept, part.whole) if part.is_part else (found, ())
    clock.start("density")
    answer, fewer = _density(target, part, had.axes, options)
    clock.start("judge")
    judged = verdicts(found, had.swept, part.whole.loss.dtype, sampler(target, part, pair))
    memory = bytes_of(options.memory)
    judged += signs(part.graph, had.swept, *_readings(target, part.whole), answer, part.whole, memory)
    return _Judged(tuple(judged), answer, (*unconfirmed, *seen, *summed_terms(target), *fewer))


Others = tuple[tuple[Graph, tuple[Judged, ...]], ...]


def _varied(
    target: Target, batch: Batch, part: Excerpt, options: Options, specs: list[Spec], clock: Clock
) -> tuple[Others, tuple[str, ...]]:
    """What fails on batches of another structure, and what raises; and what was not tried."""
    clock.start("variations")
    effort = "quick" if specs else effort_of(options.effort)
    other = structure(target, batch, options.seed, effort, part.whole.graph)
    clock.start("exceptions")
    refused = raises(target, batch, options.seed, bool(part.whole.branches))
    return ((other.graph, other.judged), (refused.graph, refused.judged)), other.skipped


def _fused(swept: Swept) -> tuple[str, ...]:
    """A remark on sweeps that ran compiled."""
    ran = f"{swept.compiled} sweeps ran as compiled programs, rounding as plain kernels do"
    return (f"{ran}; plain kernels decided every threshold and witness",) if swept.compiled else ()


def _compiled(
    target: Target, graph: LossGraph, swept: Swept, options: Options, clock: Clock
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """What torch.compile makes of the loss, where that was asked for; and why that cannot be told."""
    if not options.as_compiled:
        return (), ()
    clock.start("compiled")
    try:
        return as_compiled(graph, swept, floor_of(graph, options.min_bits), target.command), ()
    except NllcheckError as error:
        return (), (f"compiled code: because {error.message}",)
    except Exception as error:  # whatever compiled code raises must not cost the other findings
        raise_own(error)
        return (), (f"compiled code: because {first_line(error)}",)


def _partly(part: Excerpt) -> tuple[str, ...]:
    """What the report says of a batch that was looked at in part."""
    if not part.is_part:
        return ()
    tried = "where something fails, the nearest threshold is tried on all of them"
    return (f"a large batch: swept and judged on {part.rule}; {tried}",)


def _evaluated(part: Excerpt, pair: Pair, options: Options, specs: list[Spec], clock: Clock) -> _Swept:
    """The axes of the batch swept on what is looked at of it, then the guided search, then the maps of pairs."""
    clock.start("axes")
    effort, memory = effort_of(options.effort), bytes_of(options.memory)
    axes, named, skipped = _axes(part.whole, specs, effort)
    axes = tuple(a for a in axes if is_way_on(a, part.graph.graph))
    if steering(part.whole.graph) and not any(a.is_boundary and a.role != "target" for a in axes):
        raise UnsweepableError("what could move decides which elements are selected")
    clock.start("sweep")
    swept = sweep(part.graph, axes, named, count=options.points, effort=effort, memory=memory, tell=options.progress,
                  engine=options.engine, fuse=options.fuse)  # fmt: skip
    clock.start("search")
    swept, searched, unsearched = _on_top(
        partial(search, pair=pair), "guided search", part.graph, swept, effort, memory
    )
    clock.start("pairs")
    swept, maps, unmapped = _on_top(pairs, "maps of two axes", part.graph, swept, effort, memory)
    return _Swept(swept, axes, searched, maps, (*skipped, *unsearched, *unmapped))


def _density(
    target: Target, part: Excerpt, axes: tuple[Axis, ...], options: Options
) -> tuple[Density, tuple[str, ...]]:
    """The density test's answer: a question about one sample, so of a large batch some are asked; with a remark."""
    count, fewer = len(part.rows), rows_tested(part, compared_with(part.graph))
    asked = has_question(part.graph, target.loss_name, options.nll)
    some = on_some_rows(target, part.batch, part.graph, fewer, part.layout) if asked and fewer < count else None
    answer = density(some or part.graph, tuple(a for a in axes if a.role != "hidden"), target.loss_name,
                     support=options.support, base_measure=options.base_measure, nll=options.nll,
                     memory=bytes_of(options.memory))  # fmt: skip
    tested, remarks = fewer if some else count, []
    if asked and tested < part.count:
        remarks.append(f"density test: made on {tested} of the batch's {part.count:,} samples")
    return answer, tuple(remarks)


def _on_top(
    stage: Callable[..., Any], name: str, graph: LossGraph, swept: Swept, effort: Effort, memory: int
) -> tuple[Swept, Any, tuple[str, ...]]:
    """The sweeps with the ways that a further stage has found, and what it tells; what stops it is told, no more."""
    try:
        ways, told = stage(graph, swept, effort=effort, memory=memory)
        return extended(swept, ways, memory), told, ()
    except Exception as error:  # an op without a derivative, or without a rule for many points at once
        raise_own(error)
        return swept, (), (f"{name}: because {first_line(error)}",)


def first_line(error: Exception) -> str:
    """What an error says, short, with its kind where it is not one of ours."""
    text = (str(error).strip() or "no message").splitlines()[0][:200]
    return text if isinstance(error, UnsweepableError) else f"{type(error).__name__}: {text}"


def plan_on(target: Target, batch: Batch, graph: LossGraph, options: Options, specs: list[Spec]) -> Plan:
    """The sweep of a check, planned and not run. Raises UnsweepableError."""
    effort = effort_of(options.effort)
    axes, named, _ = _axes(graph, specs, effort)
    part, memory = excerpt_of(target, batch, graph, effort).graph, bytes_of(options.memory)
    return planned(part, axes, named, count=options.points, effort=effort, memory=memory, fuse=options.fuse)


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


Readings = tuple[list[Reading], list[Reading]]


def _readings(target: Target, graph: LossGraph) -> tuple[Readings, Readings]:
    """Loss and gradient of every batch and of every checkpoint, in the training dtype and in float64."""
    return read_all(graph, target.batches, ()), read_all(graph, (), target.checkpoints)
