"""Compiled sweeps: they propose what plain ones do, and what torch.compile itself gets wrong is told."""

import shutil
import sys

import pytest
import torch
from torch.nn import functional

import nllcheck
from nllcheck.errors import NllcheckError
from nllcheck.sweep import fused

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("g++"), reason="torch.compile needs a C++ compiler"
)

G = torch.Generator().manual_seed(0)
OUTPUT, LABELS = torch.randn(32, 3, generator=G), torch.randint(3, (32,), generator=G)
HAPPENED = (torch.rand(32, generator=G) < 0.4).float()


def log_of_softmax(output, target):
    p = torch.softmax(output, -1)
    return -torch.log(p[torch.arange(len(target)), target]).mean()  # <- here


def complementary_log_log(output, target):
    rate = torch.exp(output[:, 0])
    log_p = torch.log(-torch.expm1(-rate))  # <- here: right by plain kernels down to 1e-38, compiled 0 below 1e-8
    return -(target * log_p - (1 - target) * rate).mean()


def logistic(output, target):
    return functional.softplus(torch.where(target > 0, -output[:, 0], output[:, 0])).mean()


def odds(output, target):
    up = torch.exp(output[:, 0])
    return (up / (1 + up) - target).square().mean()  # <- here: inf / inf in float16, which compiled code never makes


def loses_small_expm1():
    """Does this torch compile expm1 to exp - 1? Newer ones do not."""
    return not bool(torch.compile(torch.expm1)(torch.full((16,), 1e-9)).all())


def line_of(loss):
    code = loss.__code__
    with open(code.co_filename) as source:
        lines = source.readlines()
    return next(k for k in range(code.co_firstlineno, len(lines)) if "# <- here" in lines[k]) + 1


def checked(loss, target, output=OUTPUT, **options):
    return nllcheck.check_function(loss, {"output": output, "target": target}, target="target", **options)


def told(report):
    return [(f.rule, f.kind, f.op, f.site.line, f.severity, f.verdict, f.axis, f.threshold) for f in report.findings]


def test_a_compiled_sweep_gives_the_findings_of_a_plain_one():
    sweep = ["output[..., 0]=-300:300:200"]
    plain, compiled = (checked(log_of_softmax, LABELS, fuse=fuse, sweep=sweep) for fuse in (None, True))
    assert "NLL101" in {f.rule for f in plain.findings}
    assert told(compiled) == told(plain)
    assert any("compiled" in note for note in compiled.notes) and not any("compiled" in n for n in plain.notes)
    for a, b in zip(compiled.sweeps, plain.sweeps, strict=True):
        torch.testing.assert_close(torch.tensor(a.loss), torch.tensor(b.loss), rtol=1e-4, atol=1e-6, equal_nan=True)
        assert a.gradient_state == b.gradient_state


@pytest.mark.parametrize(
    "loss, dtype, verdicts",
    [
        (complementary_log_log, "float32", {"defect"} if loses_small_expm1() else set()),
        (odds, "float16", {"legitimate"}),
        (logistic, "float32", set()),
    ],
)
def test_where_compiled_code_departs_the_op_and_the_side_that_errs_are_told(loss, dtype, verdicts):
    report = checked(loss, HAPPENED, as_compiled=True, dtype=dtype)
    found = [f for f in report.findings if f.rule == "NLL009"]
    assert {f.verdict for f in found} == verdicts
    assert {f.site.line for f in found} == ({line_of(loss)} if found else set())
    for finding in found:
        output = OUTPUT.to(getattr(torch, dtype)).clone()
        if finding.axis == "output × scale":
            output = output * finding.witness
        else:
            output[:, 0] = finding.witness
        run = torch.compile(loss, dynamic=False) if finding.verdict != "legitimate" else loss
        output.requires_grad_()
        value = run(output, HAPPENED.to(output.dtype))
        value.backward()
        bad = not (torch.isfinite(value) and torch.isfinite(output.grad).all())
        assert bad == (finding.kind in ("nan", "inf"))
        assert abs(finding.last_good) < abs(finding.threshold) <= abs(finding.witness)


def test_a_range_that_was_asked_for_is_tried_however_far_it_lies():
    report = checked(complementary_log_log, HAPPENED, as_compiled=True, sweep=["output[..., 0]=-1e7:-1e6:20"])
    assert report.facts.capture == "graph" and not report.incomplete  # both fail there alike: nothing to tell
    assert not [f for f in report.findings if f.rule == "NLL009"]


def test_a_machine_that_cannot_compile_says_so(monkeypatch):
    def refuses(*inputs):
        raise RuntimeError("no C++ compiler\nand more")

    monkeypatch.setattr(torch, "compile", lambda *a, **k: refuses)
    with pytest.raises(NllcheckError, match=r"cannot be compiled here: no C\+\+ compiler\n"):
        checked(log_of_softmax, LABELS, fuse=True)
    report = checked(log_of_softmax, LABELS, as_compiled=True)
    assert "no C++ compiler" in report.incomplete[0] and report.findings


def test_compiled_code_that_raises_costs_no_other_finding(monkeypatch):
    def refuses(*inputs):
        raise RuntimeError("a kernel is missing")

    monkeypatch.setattr("nllcheck.compiled.Programs.at", refuses)
    report = checked(log_of_softmax, LABELS, as_compiled=True)
    assert report.facts.capture == "graph" and report.findings
    assert report.incomplete == ("compiled code: because RuntimeError: a kernel is missing",)


def test_the_options_of_inductor_are_known_to_this_torch():
    known = set(torch._inductor.list_options())
    assert {"emulate_precision_casts", "cpp.enable_floating_point_contract_flag"} <= known & dict(fused.PLAIN).keys()
