"""Which rule explains what, how severe it is, and what becomes one finding."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from events import OUTPUT, RULES, born, failure, found, on_lines
from graphs import graph_of

from nllcheck.diagnose import diagnose
from nllcheck.diagnose.finding import op_name
from nllcheck.diagnose.severity import TABLES, row_of, severity_of, weighed_of
from nllcheck.diagnose.wording import filled
from nllcheck.types import SEVERITIES, Discarded, Graph, Move, Node, Ref, Site

UNDER, OVER, SAT = "underflow", "overflow", "saturation"
BACK = {"phase": "backward", "kind": "nan"}
PDF = "p = exp(-0.5 * z) / norm"
SMALL = {"ranges": {"s": (0.0, 1.0)}}
EXPLAINED = (  # graph, op of the birth, harm before it, changes, rule
    ("log(softmax(x, -1))", "log", ("softmax", UNDER), {}, "NLL101"),
    ("log(gather(softmax(x, -1), 1, t))", "log", ("softmax", UNDER), {}, "NLL101"),
    ("log(sigmoid(x))", "log", ("sigmoid", UNDER), {}, "NLL102"),
    ("log(1.0 - sigmoid(x))", "log", ("sigmoid", SAT), {}, "NLL102"),
    ("log(q * r)", "log", ("mul", UNDER), {}, "NLL103"),
    ("log(log_softmax(x, -1))", "log", None, {"kind": "nan"}, "NLL104"),
    ("log(x / y)", "div", None, {}, "NLL105"),
    ("log(x + 1e-8)", "log", ("add", UNDER), {}, "NLL106"),
    ("log(prod(sigmoid(x), -1))", "log", ("prod", UNDER), {}, "NLL107"),
    ("p = sigmoid(x); log(p / (1 - p))", "div", ("sigmoid", SAT), {}, "NLL108"),
    ("log(det(x))", "det", None, {"kind": "inf"}, "NLL110"),
    ("log(det(x))", "log", ("det", UNDER), {}, "NLL110"),
    ("s = exp(x); y / (s + 1.0)", "exp", None, {}, "NLL201"),
    ("s = exp(x); mean(s * y)", "mul", ("exp", OVER), {}, "NLL201"),
    ("log(1 + exp(x))", "exp", None, {}, "NLL202"),
    ("log1p(exp(x))", "exp", None, BACK, "NLL202"),
    ("log(sum(exp(x), -1))", "exp", None, {}, "NLL203"),
    ("log(sum(exp(x), -1))", "log", ("exp", UNDER), {}, "NLL203"),
    ("e = exp(x); e / sum(e, -1, True)", "exp", None, {}, "NLL204"),
    ("e = exp(x); e / sum(e, -1, True)", "div", ("exp", UNDER), {"kind": "nan"}, "NLL204"),
    ("log(cumsum(exp(x), 0))", "cumsum", None, {}, "NLL214"),
    ("clamp(exp(x), None, 1e4)", "exp", None, BACK, "NLL205"),
    ("lgamma(exp(x))", "lgamma", ("exp", UNDER), {}, "NLL206"),
    ("lgamma(sum(exp(x), -1))", "lgamma", ("exp", UNDER), {}, "NLL206"),
    ("log(exp(x) + exp(y))", "exp", None, {}, "NLL207"),
    ("log(mean(exp(x), -1))", "exp", None, {}, "NLL208"),
    ("1.0 / (1 + exp(-x))", "exp", None, BACK, "NLL209"),
    ("e = exp(x); e / (1 + e)", "div", ("exp", OVER), {"kind": "nan"}, "NLL209"),
    ("log(i0(k))", "i0", None, {}, "NLL210"),
    ("u = exp(x); d = exp(-x); (u - d) / (u + d)", "exp", None, {}, "NLL211"),
    ("log(cosh(x))", "cosh", None, {}, "NLL212"),
    ("a = exp(x); y + lgamma(sum(a, -1)) - sum(lgamma(a), -1)", "lgamma", None, {"ranges": {"exp": (1.0, 4.1e36)}},
     "NLL213"),
    ("lgamma((1 - sigmoid(x)) * y)", "lgamma", ("sigmoid", SAT), {"ranges": {"mul": (0.0, 2.0)}}, "NLL215"),
    ("digamma(softplus(x))", "digamma", ("softplus", UNDER), {"ranges": {"softplus": (0.0, 2.0)}}, "NLL215"),
    ("lgamma(tanh(x))", "lgamma", ("tanh", SAT), {"ranges": {"tanh": (-1.0, -0.5)}}, "NLL000"),
    ("((x - m) / s) ** 2", "pow", None, SMALL, "NLL216"),
    ("((x - m) / s) ** 2", "pow", None, {"ranges": {"s": (1.0, 2.0)}}, "NLL000"),
    ("q / (1 - r ** 2)", "div", None, {"ranges": {"r": (-1.0, 0.5)}}, "NLL301"),
    ("log(1 - r * r)", "log", None, {"ranges": {"r": (0.0, 1.0)}}, "NLL301"),
    ("q / (n * sqrt(1 - r ** 2))", "div", None, {"ranges": {"r": (0.0, 1.0)}}, "NLL301"),
    (f"{PDF}; log(p)", "log", ("exp", UNDER), {}, "NLL302"),
    (f"{PDF}; log(p)", "div", ("exp", UNDER), BACK, "NLL302"),
    (f"{PDF}; log(p + 1e-12)", "div", ("exp", UNDER), BACK, "NLL302"),
    ("log(sum(-x))", "log", None, {"kind": "nan"}, "NLL303"),
    ("log(-sum(x))", "log", None, {"kind": "nan"}, "NLL303"),
    ("log(sum(-log(p + 1e-7)))", "log", None, {"kind": "nan"}, "NLL303"),
    ("x / s", "div", None, SMALL, "NLL304"),
    ("x / (2 * s ** 2)", "div", None, SMALL, "NLL304"),
    (f"{PDF}; log(sum(w * p, -1))", "log", ("exp", UNDER), {}, "NLL305"),
    ("log(sum(w * exp(x), -1))", "log", ("exp", UNDER), {}, "NLL305"),
    ("sqrt(x ** 2)", "sqrt", None, BACK, "NLL401"),
    ("x ** 0.3", "pow", None, BACK, "NLL402"),
    ("x / norm(x, 2)", "div", None, {"kind": "nan"}, "NLL403"),
    ("x / sqrt(sum(x ** 2, -1))", "div", None, {"kind": "nan"}, "NLL403"),
    ("where(gt(x, 0), sqrt(x), 0.0)", "sqrt", None, BACK, "NLL404"),
    ("where(gt(x, 20), x, log1p(exp(x)))", "exp", None, BACK, "NLL404"),
    ("acos(tanh(x))", "acos", None, BACK, "NLL405"),
    ("nan_to_num(p * log(p))", "log", None, BACK, "NLL406"),
    ("clamp(log(p), -100.0)", "log", None, BACK, "NLL407"),
    ("clamp(log(sigmoid(x)), -100.0)", "log", ("sigmoid", UNDER), BACK, "NLL407"),
    ("sqrt(mean(x ** 2, -1) - mean(x, -1) ** 2)", "sqrt", None, {"kind": "nan"}, "NLL408"),
    ("cholesky(matmul(x, y))", "cholesky", None, {"kind": "nan"}, "NLL409"),
    ("logdet(matmul(x, y))", "logdet", None, {}, "NLL414"),
    ("sqrt(clamp(x, 0))", "sqrt", None, BACK, "NLL410"),
    ("log(clamp(sigmoid(x), 0.0))", "log", ("sigmoid", UNDER), {}, "NLL410"),
    ("log(1 - clamp(sigmoid(x), 1e-7))", "log", ("sigmoid", SAT), {}, "NLL411"),
    ("log(clamp(sigmoid(x), None, 0.999))", "log", ("sigmoid", UNDER), {}, "NLL411"),
    ("log(1 - clamp(sigmoid(x), 1e-10, 0.9999999999))", "log", ("sigmoid", SAT), {}, "NLL412"),
    ("sqrt(x ** 2) + 1e-8", "sqrt", None, BACK, "NLL413"),
    ("log(det(matmul(x, y)))", "log", None, {}, "NLL110"),
    ("log(det(matmul(x, y)))", "det", None, {"kind": "inf"}, "NLL110"),
    ("log(1.0000000001 - sigmoid(x))", "log", ("sigmoid", SAT), {}, "NLL501"),
    ("log(1 - exp(x))", "log", None, {}, "NLL502"),
    ("log(cdf(u) - cdf(v))", "log", None, {}, "NLL503"),
    ("log(1 - p)", "log", None, {}, "NLL504"),
    ("log(1 + tanh(x))", "log", ("tanh", SAT), {"ranges": {"tanh": (-1.0, 0.9)}}, "NLL505"),
    ("sum(x * m) / sum(m)", "div", None, {"kind": "nan", "ranges": {"m": (0.0, 0.0)}}, "NLL506"),
    ("log(relu(x) + 1e-60)", "log", None, {}, "NLL507"),
    ("log(relu(x) + 1e-40)", "log", None, {"kind": "nan"}, "NLL106"),
    ("x / clamp(relu(y), 1e-100)", "div", None, {}, "NLL507"),
    ("sqrt((x - y) ** 2 + 1e-60)", "sqrt", None, BACK, "NLL507"),
    ("log(1 + x)", "log", None, {"kind": "precision"}, "NLL801"),
    ("exp(x) - 1", "sub", None, {"kind": "precision"}, "NLL802"),
    ("1 - cos(x)", "sub", None, {"kind": "precision"}, "NLL803"),
    ("1 - tanh(x) ** 2", "sub", None, {"kind": "precision"}, "NLL804"),
    ("mean(x ** 2, -1) - mean(x, -1) ** 2", "sub", None, {"kind": "precision"}, "NLL805"),
    ("log(softmax(x))", "log", None, {"kind": "precision"}, "NLL005"),  # a rule for NaN has no words for lost digits
    ("mean(erfinv(x))", "mean", None, {}, "NLL000"),
    ("x / s", "div", None, {"ranges": {"s": (1.0, 2.0)}}, "NLL000"),  # the divisor is not to blame
    ("q / (1 - r ** 2)", "div", None, {"ranges": {"r": (-0.5, 0.5)}}, "NLL000"),
    ("1 + exp(-x)", "add", None, {}, "NLL000"),
)  # fmt: skip
STRUCTURAL = (
    ("nll_loss(softmax(x, 1), t)", {"NLL601"}),
    ("-0.5 * (6.283185307179586 * v) - (y - m) ** 2 / (2 * v)", {"NLL602"}),
    ("-0.5 * log(6.283185307179586 * v) - (y - m) ** 2 / (2 * v)", set()),
    ("log_softmax(softmax(x, 1), 1)", {"NLL603"}),
    ("binary_cross_entropy(sigmoid(x), t)", {"NLL109"}),
    ("nll_loss(log_softmax(x, 1), t)", set()),
)


@pytest.mark.parametrize(("text", "op", "harm", "changes", "rule"), EXPLAINED, ids=lambda v: str(v)[:40])
def test_the_rule_that_explains_a_failure(text, op, harm, changes, rule):
    assert found(text, op, harm, **changes).rule == rule


def test_every_event_rule_has_a_case():
    covered = {row[-1] for row in EXPLAINED}
    assert {r.id for r in RULES if r.on == "event"} <= covered


def test_a_failure_at_exactly_zero_goes_on_to_nothing():
    probs = replace(OUTPUT, label="probs")
    near, at = (found("log(softmax(x, -1))", "log", ("softmax", UNDER), axis=probs, threshold=(1e-3, bad), witness=bad)
                for bad in (1e-4, 0.0))  # fmt: skip
    assert "probs = 0.0001 towards 0" in near.message
    assert "at probs = 0," in at.message


def test_a_zero_between_two_specks_is_told_as_zero_and_a_speck_alone_is_a_note():
    heat = replace(OUTPUT, label="heat", role="weight", observed=(1.0, 1.0))
    told = [found("mean(1 / x)", "div", verdict="limit", reach=1.0, axis=heat, threshold=None, witness=0.0, region=r)
            for r in (((-1e-45, 1e-45),), ((1e-45, 2e-38),), ((-3e38, -1e-45),), ((-3e38, -0.5),))]  # fmt: skip
    assert [f.severity for f in told] == ["warning", "note", "warning", "warning"]
    places = ("heat = 0.", "heat in [1e-45, 2e-38].", "heat < 0.", "heat <= -0.5.")
    assert all(f.message.endswith(place) for f, place in zip(told, places, strict=True))


def test_torchs_choice_between_nan_and_a_log_determinant_is_called_logdet():
    graph = graph_of("mean(logdet(x))")
    plain = next(n for n in graph.nodes if n.op == "logdet")
    head = replace(plain, index=9, op="select", args=(Ref(plain.index), 1), aten="<built-in function getitem>")
    nodes = (*graph.nodes, *(replace(head, index=k) for k in range(len(graph.nodes), 10)))
    chosen = replace(plain, op="where", args=(Ref(9), 0.0, Ref(9)))
    assert op_name(replace(graph, nodes=nodes), chosen) == "logdet"
    assert op_name(graph, replace(chosen, args=(Ref(plain.index), 0.0, Ref(plain.index)))) == "where"


def test_a_guard_that_is_thrown_away_is_told_with_the_failure():
    graph = graph_of("p = sigmoid(x); log(p)")
    site = Site("losses.py", 7, "loss")
    graph = replace(graph, discarded=(Discarded("clamp", 1, site),))
    told = diagnose(graph, (failure(graph, "log", ("sigmoid", UNDER)),), RULES)
    assert [f.rule for f in told if f.site == site] == ["NLL007"]
    assert next(f.message for f in told if f.op == "log").endswith("the clamp on line 7 is computed and thrown away.")


@pytest.mark.parametrize(("text", "rules"), STRUCTURAL)
def test_rules_of_shape_need_no_failure(text, rules):
    findings = diagnose(on_lines(graph_of(text)), (), RULES)
    assert {f.rule for f in findings} == rules
    assert all(f.site and f.message and f.reach is None for f in findings)


INNER, HIDDEN = replace(OUTPUT, role="intermediate"), replace(OUTPUT, role="hidden")
FAR = {"reach": 11.0, "threshold": (59.0, 60.0)}
SEVERITY = (  # changes, severity of a rule that is an error, a warning, none
    ({"reach": 1.0}, "error", "warning", "error"),
    ({"reach": 9.0}, "error", "warning", "error"),
    ({"reach": 11.0}, "error", "warning", "error"),  # a raw value of 2 is no surprise for any network
    ({"reach": 11.0, "threshold": (59.0, 60.0)}, "error", "warning", "warning"),  # 60 is possible for any network
    ({**FAR, "reference_slope": 0.5}, "error", "warning", "warning"),
    ({**FAR, "reference_slope": 0.0}, "error", "note", "warning"),  # the loss is flat there
    ({**FAR, "reference_slope": 0.0, "axis": replace(OUTPUT, observed=(2.0, 2.0))}, "note", "note", "note"),
    ({**FAR, "reference_slope": 1e-9, "axis": replace(OUTPUT, observed=(2.0, 2.0))}, "error", "note", "warning"),
    ({**FAR, "reference_slope": 0.0, "axis": HIDDEN}, "error", "warning", "warning"),
    (
        {**FAR, "reference_slope": 0.0, "axis": replace(HIDDEN, observed=(2.0, 2.0))},
        "note",
        "note",
        "note",
    ),
    ({"reach": 11.0, "threshold": (1e6, 1.1e6)}, "note", "note", "note"),
    ({"reach": 11.0, "axis": replace(OUTPUT, mode="scale")}, "note", "note", "note"),
    ({"reach": 1.0, "region": ((1e-45, 1e-23),)}, "note", "note", "note"),
    ({"reach": 1.0, "region": ((0.0, 1e-23),)}, "error", "warning", "error"),
    ({"reach": 1.0, "reference_loss": 1e17}, "note", "note", "note"),
    ({"reach": 1.0, "axis": INNER}, "note", "note", "note"),
    ({"reach": 1.0, "verdict": "limit"}, "error", "warning", "warning"),
    ({"reach": 3.0, "verdict": "limit"}, "note", "note", "note"),
    ({"reach": 1.0, "verdict": "undecided"}, "note", "note", "note"),
    ({"reach": 1.0, "verdict": "legitimate"}, "note", "note", "note"),
    ({"verdict": "limit", "axis": None, "on_batch": True}, "error", "error", "error"),
    ({"verdict": "undecided", "axis": None, "on_batch": True}, "error", "error", "error"),
    ({"axis": None, "on_batch": True, "reaches": ()}, "note", "note", "note"),
    ({"reach": 1.5, "axis": replace(OUTPUT, role="target")}, "warning", "warning", "warning"),
    ({"reach": 5.0, "axis": replace(OUTPUT, role="target")}, "note", "note", "note"),
)


@pytest.mark.parametrize(("changes", "error", "warning", "none"), SEVERITY, ids=lambda v: str(v)[:60])
def test_severity_is_a_table(changes, error, warning, none):
    judged = failure(graph_of("log(x)"), "log", **changes)
    assert [severity_of(judged, rule) for rule in ("error", "warning", None)] == [error, warning, none]


DEAD = {"kind": "dead-gradient", "phase": "backward", "reach": 1.0, "region": ((-1.0, 1.0),)}
WRONG = {"kind": "sign-flip", "phase": "backward", "reach": 1.0, "region": ((0.0, 1.0),)}
TOWARD = replace(OUTPUT, mode="toward", goal="zero")
ALONE = replace(OUTPUT, mode="toward", goal="found alone", moves=(Move(0, 0, "output[0]", 1.0, 1e-9, (-1.0, 1.0)),))
WEIGHT = replace(OUTPUT, role="weight")
TARGET, POSITIVE = replace(OUTPUT, role="target"), replace(OUTPUT, domain=(0.0, math.inf))
LOST = {"kind": "precision", "phase": "backward", "reach": 1.0, "axis": replace(WEIGHT, observed=(0.5, 0.5))}
ROWS = (  # changes, rule, whether the op is a bound that was meant, severity, why
    ({**DEAD, "on_batch": True, "share": 0.1}, None, True, "note", "holds less than a quarter"),
    ({**DEAD, "on_batch": True, "share": 0.1}, None, False, "warning", "the batch itself shows it"),
    (DEAD, None, True, "note", "and the batch is alive"),
    ({**DEAD, "weight": 1e-4}, None, False, "note", "below a thousandth"),
    ({**DEAD, "reach": 3.0}, None, False, "note", "further away than twice"),
    ({**DEAD, "region": ((0.0, 0.001),)}, None, False, "note", "a hundredth of the batch"),
    (DEAD, None, False, "warning", "within twice the batch"),
    ({**LOST, "region": ((0.01, 0.03),)}, None, False, "note", "would have to shrink"),
    ({**LOST, "region": ((0.01, 0.2),)}, None, False, "warning", "within twice the batch"),
    ({**LOST, "region": ((-0.01, 0.01),)}, None, False, "warning", "within twice the batch"),
    ({**WRONG, "verdict": "legitimate"}, None, False, "note", "the computed sign is right"),
    ({**WRONG, "weight": 1e-4}, None, False, "note", "below a thousandth"),
    ({**WRONG, "reach": 11.0}, None, False, "note", "further away than 10 times"),
    ({**WRONG, "region": ((1.0, 1.0),)}, None, False, "note", "one point alone"),
    ({**WRONG, "region": ((0.0, 1e-8),)}, None, False, "note", "less than a millionth"),
    (WRONG, None, False, "error", "the wrong way within twice"),
    ({**WRONG, "reach": 3.0}, None, False, "warning", "the wrong way within 10 times"),
    ({"axis": replace(OUTPUT, mode="batch"), "reach": 3.0}, None, False, "note", "a loader hardly makes"),
    ({"axis": ALONE}, None, False, "note", "just next to 0, and not 0"),
    ({"axis": TOWARD}, "note", False, "note", "its rule is a note"),
    ({"axis": TOWARD}, None, False, "warning", "a float could be right there, and training can come"),
    ({"axis": TOWARD, "verdict": "limit"}, None, False, "warning", "no float could be right there, but training"),
    ({"axis": TOWARD, "verdict": "undecided"}, None, False, "note", "nothing proves that one could"),
    ({"axis": TARGET, "reach": 1.0}, None, False, "error", "within the targets' own range"),
    (
        {"axis": POSITIVE, "verdict": "limit", "phase": "backward", "threshold": (1e-45, 0.0), "reach": 3.0},
        "error", False, "warning", "the loss is fine at 0 and its gradient is not",
    ),
    ({"axis": TARGET, "verdict": "limit", "reach": 1.0}, None, False, "note", "at such targets"),
    ({"axis": replace(TOWARD, role="target"), "verdict": "limit"}, None, False, "note", "at such targets"),
    ({"verdict": "limit", "reach": 1.0, "reference_slope": 0.0}, "warning", False, "note", "the loss is flat there"),
    ({"verdict": "limit", "reach": 1.0, "region": ((1e-45, 1e-23),)}, None, False, "note", "just next to 0"),
    (
        {"axis": WEIGHT, "verdict": "limit", "reach": 1.0, "region": ((-1e-23, 1e-23),)},
        "error", False, "warning", "hardly comes to stand on it",
    ),
    ({"axis": WEIGHT, "verdict": "limit", "reach": 1.0, "region": ((-9.0, 0.0),)}, None, False, "warning", "no float"),
)  # fmt: skip


@pytest.mark.parametrize(("changes", "rule", "is_meant", "severity", "why"), ROWS, ids=lambda v: str(v)[-40:])
def test_the_row_that_decides_is_told(changes, rule, is_meant, severity, why):
    judged = failure(graph_of("log(x)"), "log", **changes)
    assert (severity_of(judged, rule, is_meant), why in weighed_of(judged, rule, is_meant)) == (severity, True)


def test_every_row_of_the_table_decides_a_case():
    cases = [(changes, rule, False) for changes, *_ in SEVERITY for rule in ("error", "warning", None)]
    cases += [(changes, rule, is_meant) for changes, rule, is_meant, *_ in ROWS]
    decided = {id(row_of(failure(graph_of("log(x)"), "log", **changes), *rest)) for changes, *rest in cases}
    assert {id(row) for table in TABLES for row in table} == decided


def test_a_line_that_turns_signs_along_several_axes_is_one_finding():
    graph = on_lines(graph_of("x / y"))
    axes = [replace(OUTPUT, label=f"output[..., {k}]") for k in range(5)]
    judged = tuple(failure(graph, "div", **{**WRONG, "axis": a, "reach": 1.0 + k, "detail": "rounding turns signs"})
                   for k, a in enumerate(axes))  # fmt: skip
    (told,) = [f for f in diagnose(graph, judged, RULES) if f.kind == "sign-flip"]
    assert (told.axis, told.severity) == ("output[..., 0]", "error")
    assert told.message.endswith("So it does along output[..., 1], output[..., 2], output[..., 3] and 1 more.")


def test_one_place_is_one_finding_led_by_what_the_model_can_reach():
    graph = on_lines(graph_of("r = tanh(x); q / (1 - r ** 2)"))
    axes = [
        (INNER, "rho", 1.0),
        (OUTPUT, "output[..., 4]", 3.0),
        (replace(OUTPUT, mode="scale"), "output × scale", 2.5),
    ]
    judged = [failure(graph, "div", axis=replace(axis, label=label), reach=reach) for axis, label, reach in axes]
    judged.append(failure(graph, "div", axis=OUTPUT, reach=1.0, kind="nan", verdict="undecided"))
    (finding,) = diagnose(graph, tuple(judged), RULES)
    assert (finding.axis, finding.threshold, finding.last_good, finding.reach) == ("output[..., 4]", 2.0, 1.5, 3.0)
    assert "rho >= 2 (an intermediate)" in finding.also
    assert "output × scale >= 2" in finding.also


@pytest.mark.parametrize(
    ("changes", "leads"),
    [
        ({"threshold": None, "reach": 1.0}, False),  # fails wherever it is moved to: tells no value
        ({"threshold": (-1.5, -1.6), "reach": 1.0, "axis": replace(OUTPUT, label="u", observed=(1.0, 2.0))}, False),
        ({"threshold": (1.0, 1.1), "reach": 1.1, "axis": replace(OUTPUT, label="u")}, True),
    ],
    ids=["everywhere", "across zero", "nearest"],
)
def test_a_threshold_just_beyond_the_batch_leads(changes, leads):
    graph = on_lines(graph_of("log(x)"))
    near = failure(graph, "log", axis=replace(OUTPUT, label="near"), threshold=(1.1, 1.2), reach=1.2)
    other = failure(graph, "log", **{"axis": replace(OUTPUT, label="u"), **changes})
    (finding,) = diagnose(graph, (other, near), RULES)
    assert (finding.axis == "u") == leads


@pytest.mark.parametrize(
    ("changes", "sweep"),
    [
        ({"threshold": (1.5, 2.0)}, "(1.8, 2.2)"),
        ({"threshold": None, "region": ((1.6, 4.4),)}, "(1.16, 4.84)"),
        ({"threshold": None, "region": ((-3e38, 3e38),)}, "(2.7, 3.3)"),
        ({"threshold": None, "region": ((5.0, 6.0),), "witness": 0.0}, "(-1, 1)"),
    ],
    ids=["threshold", "short interval", "everywhere", "at zero"],
)
def test_the_command_sweeps_around_what_fails(changes, sweep):
    graph = on_lines(graph_of("log(x)"))
    (finding,) = diagnose(graph, (failure(graph, "log", **changes),), RULES)
    assert finding.command == f"nllcheck.check(..., sweep={{'output': {sweep}}})"


def test_forward_and_backward_and_other_lines_stay_apart():
    graph = on_lines(graph_of("log(sigmoid(log(x)))"))
    first = min(n.index for n in graph.nodes if n.op == "log")
    judged = (failure(graph, "log"), failure(graph, "log", phase="backward"), failure(graph, "log", node=first))
    assert len(diagnose(graph, judged, RULES)) == 3


def test_findings_come_worst_first():
    graph = on_lines(graph_of("log(softmax(x, -1)) + sqrt(y)"))
    judged = tuple(failure(graph, op, reach=r) for op, r in (("sqrt", 5.0), ("log", 8.0), ("log", 4.0)))
    findings = diagnose(graph, (*judged, failure(graph, "sqrt", phase="backward", verdict="undecided")), RULES)
    assert [SEVERITIES.index(f.severity) for f in findings] == sorted(SEVERITIES.index(f.severity) for f in findings)
    assert findings[-1].verdict == "undecided"


def test_an_unexplained_failure_says_what_was_measured():
    finding = found("s = exp(x); mean(erfinv(s))", "erfinv", ("exp", UNDER), kind="nan", verdict="undecided")
    finding = finding if finding.rule == "NLL000" else found("mean(erf(exp(x)))", "mean", ("erf", SAT), kind="nan")
    assert finding.rule == "NLL000"
    for part in ("mean", "NaN", "output >= 2", "erf saturates"):
        assert part in finding.message


def test_messages_speak_the_users_names_and_leave_no_field_open():
    for text, op, harm, changes, _ in EXPLAINED:
        finding = found(text, op, harm, **changes)
        assert "{" not in finding.message + (finding.fix or "") + (finding.advice or "")
        assert finding.message.endswith(".")
        assert finding.why
    assert found("log(softmax(logits, -1))", "log").fix == "log_softmax(logits)"
    assert "logits" in found("log(softmax(logits, -1))", "log").message


def test_wrong_signs_and_negative_losses():
    graph = on_lines(graph_of("log(softmax(x, -1))"))
    node = {"node": born(graph, "log"), "axis": None, "threshold": None, "on_batch": True}
    labels = failure(graph, "log", kind="negative-nll", detail="discrete targets", verdict="wrong-formula", **node)
    real = failure(graph, "log", kind="negative-nll", detail="continuous targets", **node)
    flips = failure(
        graph, "log", kind="sign-flip", phase="backward", detail="changes sign 3 times", verdict="legitimate"
    )
    severities = [diagnose(graph, (j,), RULES)[0].severity for j in (labels, real, flips)]
    assert severities == ["error", "note", "note"]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{x} / {y} is 0 / 0", "p_x / (b * c) is 0 / 0."),
        ("1 - {y}, or {y}, is 0", "1 - (b * c), or b * c, is 0."),
        ("from {y} on", "From b * c on."),
    ],
)
def test_an_operand_of_a_messages_formula_stands_in_brackets(template, said):
    site = Site("losses.py", 1, "nll", None, "b * c", (0, 5))
    nodes = (Node(0, "input", (), name="p_x"), Node(1, "mul", (), site=site))
    assert filled(template, Graph(nodes, 1), None, {"x": Ref(0), "y": Ref(1)}, math.nan) == said
