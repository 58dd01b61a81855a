"""The whole check, in the order in which it happens. Read this first.

    load -> capture -> axes -> sweep -> search -> pairs -> detect -> density -> judge -> diagnose -> report

Every stage is a function from one frozen value to the next; `stages.by_graph` calls them. `load` has happened before:
it makes the `Target` from files, `check` and `check_function` make it from live objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from nllcheck.axes.spec import Spec, parse
from nllcheck.callable_module import make_callable
from nllcheck.calls import batch_of, called_data, look_at, named_tensors
from nllcheck.capture.attempt import captured
from nllcheck.companions import held_by
from nllcheck.density import check_options
from nllcheck.density.inputs import says_likelihood
from nllcheck.devices import answering, device_of
from nllcheck.diagnose import diagnose
from nllcheck.eager import by_hand
from nllcheck.errors import NllcheckError, did_you_mean, raise_own
from nllcheck.kept import all_left
from nllcheck.memo import forget
from nllcheck.options import Clock, Options, effort_of, options_of, settings_of
from nllcheck.prepare import dtype_of, first_look, prepared, quiet, with_terms, with_trained
from nllcheck.replay import replayed
from nllcheck.report import Report
from nllcheck.rules import Rule
from nllcheck.rules import load as load_rules
from nllcheck.stages import by_graph, first_line, plan_on
from nllcheck.structure import structure
from nllcheck.summary import facts_of
from nllcheck.sweep.plan import Plan
from nllcheck.sweep.watch import UnsweepableError
from nllcheck.target import Batch, Target, split_batch, style_of


def run(target: Target, options: Options | None = None) -> Report:
    """Check one target. Raises NllcheckError for input that cannot be checked."""
    options = options or Options()
    clock = Clock(options.progress)
    specs = [parse(text) for text in options.sweep]
    check_options(options.support, options.base_measure)
    rules = load_rules(tuple(options.rules))
    target = replace(target, held=held_by(target.loss))
    with all_left(target), answering(device_of(options.device)):
        target, batch = _ready(target, options)
        try:
            with quiet():
                report = _checked(target, batch, options, specs, rules, clock)
        finally:
            forget()
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
        return by_graph(target, batch, graph, options, specs, rules, clock)
    except NllcheckError:
        raise
    except Exception as error:  # an op that cannot be run at many points, or one that no stage expects
        raise_own(error)
        return _by_hand(target, batch, options, rules, (first_line(error),))


def _ready(target: Target, options: Options) -> tuple[Target, Batch]:
    """The target on its device, and the batch that is traced."""
    target = with_terms(prepared(target, device_of(options.device), dtype_of(options.dtype)), options.seed)
    losses = [first_look(target, batch, options.seed) for batch in target.batches]
    target = with_trained(target, options.seed)
    return target, _most_telling(target.batches, losses)


def plan_of(target: Target, options: Options) -> Plan:
    """The sweep of a check and nothing else: what a shard does its part of.

    Raises NllcheckError also for a loss that is not one graph, since nothing of that can be shared out.
    """
    specs = [parse(text) for text in options.sweep]
    target, batch = _ready(replace(target, held=held_by(target.loss)), options)
    graph, remarks = captured(target, batch, options.seed)
    try:
        if graph is None:
            raise UnsweepableError("; ".join(remarks))
        return plan_on(target, batch, graph, options, specs)
    except UnsweepableError as error:
        hint = "run it without --shard: it is run op by op"
        raise NllcheckError(f"this loss cannot be shared out: {error}", where=target.name, hint=hint) from None


def check(loss: Callable[..., Any], model: torch.nn.Module | None = None, batch: Any = None, **options: Any) -> Report:
    """Check `loss` as it is trained: on `model` and one `batch`.

    Args:
        loss: called as `loss(output, target)`, `loss(*outputs, target)` or, with a first parameter named
            `model`, as `loss(model, batch)`; returns the scalar that training minimises.
        model: in the mode (train or eval) in which it is to be checked; it is not changed.
        batch: `(inputs, targets)`; inputs a tensor, a tuple (positional) or a dict (keywords) for the model;
            targets are passed to the loss as they are. NumPy arrays are taken for tensors. A list of `Batch`
            values follows several of them.
        options: see `Options`; `sweep` may also be `{"rho": (-1, 1)}`.

    Raises:
        NllcheckError: input that cannot be checked, with the place and what to do.
    """
    if model is None:
        raise NllcheckError("check needs a model", hint="for a bare function use nllcheck.check_function(fn, {...})")
    look_at(loss, model)
    batches = tuple(batch) if _is_batches(batch) else (split_batch(batch_of(batch)),)
    name = _name_of(loss)
    target = Target(type(model).__name__, loss, name, model, batches, style_of(loss, model))
    return run(target, options_of(options))


def check_function(
    fn: Callable[..., Any],
    tensors: Mapping[str, torch.Tensor] | None = None,
    target: str | tuple[str, ...] | None = None,
    **options: Any,
) -> Report:
    """Check a bare loss of named tensors, `fn(mu=..., sigma=..., y=...) -> scalar`.

    `target` names the tensors that are observed data; all others move. Left out, and the function called a likelihood
    (`nll`, `log_prob`, ...), it is the argument called `y`, `target`, `obs`, ..., which a remark tells; `target=()`
    means none. Options and errors as in `check`.
    """
    given, names = named_tensors(fn, tensors, target)
    if target is None and says_likelihood(_name_of(fn)):
        names = called_data(given)
    unknown = [n for n in names if n not in given]
    if unknown:
        raise NllcheckError(f"there is no tensor named '{unknown[0]}'", hint=did_you_mean(unknown[0], set(given)))
    batch = Batch(kwargs=given, whole=given)
    name = _name_of(fn)
    report = run(Target(name, fn, name, None, (batch,), "function", target_names=names), options_of(options))
    taken = tuple(f"{n} is taken for the target, by its name; target=... says otherwise" for n in names if not target)
    return replace(report, notes=(*report.notes, *taken))


def _is_batches(batch: Any) -> bool:
    return isinstance(batch, (list, tuple)) and bool(batch) and all(isinstance(b, Batch) for b in batch)


def _name_of(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", None) or type(function).__name__


def _most_telling(batches: tuple[Batch, ...], losses: list[torch.Tensor]) -> Batch:
    """The first batch whose loss is not finite, else the first."""
    broken = [b for b, loss in zip(batches, losses, strict=True) if not bool(torch.isfinite(loss))]
    return (broken or list(batches))[0]


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
    asked = ("compiled code: because the loss was run op by op",) if options.as_compiled else ()
    return Report(facts, findings, outcome.sweeps, (reason,), skipped, fail_on=options.fail_on, incomplete=asked)


make_callable(__name__)
