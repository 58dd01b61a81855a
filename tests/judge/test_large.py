"""Large batches: some rows are looked at, and what is told holds on all of them."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import nllcheck
from nllcheck import search
from nllcheck.axes import excerpt
from nllcheck.axes.excerpt import excerpt_of
from nllcheck.capture.attempt import captured
from nllcheck.target import Batch, Target

ROWS, CLASSES, ODD = 48, 40, 31


def log_of_softmax(output, target):
    return F.nll_loss(torch.log(torch.softmax(output, -1)), target)


def logsumexp_by_hand(output, target):
    return (output.exp().sum(-1).log() - output.gather(1, target[:, None])[:, 0]).mean()


def cross_entropy(output, target):
    return F.cross_entropy(output, target)


def similarities(output, target):
    return F.cross_entropy(output @ output.T, target)


def sigmoid_by_hand(output, target):
    p = torch.sigmoid(output)
    return -(target * torch.log(p) + (1 - target) * torch.log(1 - p)).mean()


def batch_for(loss):
    generator = torch.Generator().manual_seed(0)
    if loss is sigmoid_by_hand:  # images
        x = torch.randn(ROWS, 2, 6, 6, generator=generator)
        return {"output": x, "target": (x > 0).float()}
    x = 2 * torch.randn(ROWS, CLASSES, generator=generator)
    x[ODD, 3] = -9.0
    return {"output": x, "target": torch.randint(0, CLASSES, (ROWS,), generator=generator)}


def seen(loss, batch):
    whole = Batch(kwargs=batch, whole=batch)
    target = Target("loss", loss, loss.__name__, None, (whole,), "function", target_names=("target",))
    graph, remarks = captured(target, whole, 0)
    assert graph, remarks
    return excerpt_of(target, whole, graph, "default")


def failures(report):
    return {(f.rule, f.kind, f.verdict, f.phase, f.op, f.site.line) for f in report.findings if f.severity == "error"}


@pytest.fixture
def few(monkeypatch):
    """As if a tenth of these small batches were all that can be afforded."""
    monkeypatch.setattr(excerpt, "LARGE", 1000.0)


@pytest.mark.parametrize("loss", [log_of_softmax, logsumexp_by_hand, cross_entropy, sigmoid_by_hand])
def test_a_part_of_the_batch_finds_what_all_of_it_does(loss, few, monkeypatch):
    batch = batch_for(loss)
    options = {"target": "target", "effort": "quick", "sweep": ("output[...,0:3]=-120:120:61",)}
    part = nllcheck.check_function(loss, batch, **options)
    assert any(f"of the batch's {ROWS} rows" in note for note in part.notes)
    monkeypatch.setattr(excerpt, "LARGE", 1e9)
    whole = nllcheck.check_function(loss, batch, **options)
    assert not any("of the batch's" in note for note in whole.notes)
    assert failures(part) == failures(whole)
    assert bool(failures(part)) == (loss is not cross_entropy)
    assert part.facts.loss == whole.facts.loss
    assert thresholds(part) == thresholds(whole)
    for finding in part.findings:
        if finding.severity == "error" and finding.phase == "forward":
            moved = batch["output"].clone()
            moved[..., 0:3] = finding.threshold
            assert not bool(torch.isfinite(loss(moved, batch["target"])))


def thresholds(report):
    """With the value from which only the gradient fails, which a mean over more rows puts off."""
    found = [f for f in report.findings if f.severity == "error"]
    return {(f.rule, f.last_good, f.threshold, f.message.partition("fails earlier, from ")[2]) for f in found}


def test_the_rows_are_those_that_stand_out(few):
    batch = batch_for(cross_entropy)
    found = seen(cross_entropy, batch)
    assert found.is_part
    assert ODD in found.rows
    assert int(batch["output"].amax(1).argmax()) in found.rows
    assert list(found.rows) == sorted(set(found.rows))
    assert torch.equal(found.batch.kwargs["output"], batch["output"][list(found.rows)])
    batch["output"][ODD - 1, 0] = math.inf
    assert ODD - 1 in seen(cross_entropy, batch).rows


def test_rows_against_rows_are_left_whole(few):
    batch = batch_for(similarities)
    batch["target"] = torch.arange(ROWS)
    assert not seen(similarities, batch).is_part


def correlated(output, target):
    rho = torch.tanh(output[:, 2])
    z = (target[:, 0] - output[:, 0]) ** 2 + (target[:, 1] - output[:, 1]) ** 2
    z = z - 2 * rho * (target[:, 0] - output[:, 0]) * (target[:, 1] - output[:, 1])
    left = 1 - rho**2
    return -torch.log(torch.exp(-z / (2 * left)) / torch.sqrt(left) + 1e-20).mean()


def test_a_failure_that_begins_elsewhere_on_another_row_is_told_all_the_same(few):
    """On a row where z is 0, too, 0 / 0 is NaN an op earlier than on those looked at."""
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(200, 2, generator=generator)
    output = torch.cat([torch.randn(200, 2, generator=generator), 0.3 * torch.randn(200, 1, generator=generator)], 1)
    target[77] = output[77, :2]
    report = nllcheck.check_function(correlated, {"output": output, "target": target}, target="target")
    assert not any("not on the whole batch" in note and "output[..., 2]" in note for note in report.notes)
    found = [f for f in report.findings if f.severity != "note" and "output[..., 2]" in str(f.axis)]
    assert found and abs(found[0].threshold) == pytest.approx(9.01084, abs=1e-4)


def both_sure(output, target):
    return -torch.log(2 - torch.tanh(output[:, 0] - 5) - torch.tanh(output[:, 1] + 5)).mean() + 0 * target.sum()


def test_what_is_too_large_for_a_search_is_searched_on_two_rows(monkeypatch):
    """Neither column alone empties the logarithm. What is found is told as an element of the whole batch."""
    monkeypatch.setitem(search.BUDGETS, "default", replace(search.BUDGETS["default"], work=2e4))
    generator = torch.Generator().manual_seed(2)
    batch = {"output": 0.3 * torch.randn(300, 2, generator=generator), "target": torch.zeros(300)}
    report = nllcheck.check_function(both_sure, batch, target="target")
    (found,) = (f for f in report.findings if f.op == "log" and "found by a search" in f.message)
    moved = {m.position: m.end for t in report.sweeps if t.axis.label == found.axis for m in t.axis.moves}
    there = batch["output"].flatten().index_put((torch.tensor(list(moved)),), torch.tensor(list(moved.values())))
    assert math.isinf(float(both_sure(there.reshape(300, 2), batch["target"])))


def test_a_layer_with_as_many_rows_as_the_batch_is_no_batch(few):
    """Both are 48 x 4, so that one could be led to the other; of some rows of the batch it cannot."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, ROWS)

    def loss(model, batch):
        return F.softplus(batch @ model.weight.T).mean() + model(batch).square().mean()

    report = nllcheck.check(loss, model=layer, batch=torch.randn(ROWS, 4))
    assert report.facts.capture == "graph", report.notes
    assert any(f"of the batch's {ROWS} rows" in note for note in report.notes)
