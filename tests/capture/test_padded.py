"""Selections that the values decide: a graph of one shape at all points, with the user's own loss and gradients."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from spline import spline, spline_nll

from nllcheck.capture import capture
from nllcheck.capture.attempt import captured, guarded_branches
from nllcheck.capture.interpret import Runner
from nllcheck.capture.verify import disagreements, eager, replayed, selects_nothing
from nllcheck.target import Batch, Target

S = torch.tensor([[0.3, -1.2, 2.0], [1.0, 0.2, -0.4], [-2.0, 0.6, 0.1], [0.5, 0.4, -1.5], [0.1, 2.2, 0.3]])
Y, R = torch.tensor([2, 0, 2, 1, 0]), torch.tensor([0.5, -1.0, 2.0, 0.1, -0.3])


def hard(s, y):
    loss = F.cross_entropy(s, y, reduction="none")
    return loss[loss > 1.0].mean()


def hard_places(s, y):
    loss = F.cross_entropy(s, y, reduction="none")
    places = (loss > 1.0).nonzero(as_tuple=True)[0]
    return loss[places].sum() / 5


def hard_column(s, y):
    loss = F.cross_entropy(s, y, reduction="none")
    return loss[torch.nonzero(loss > 1.0).squeeze(1)].mean()


def unsure(s, y):
    picked = s.softmax(1).gather(1, y[:, None]).squeeze(1)
    return torch.masked_select(-picked.log(), picked < 0.7).mean()


def wrong_ones(s, y):
    return F.cross_entropy(s[s.argmax(1) != y], y[s.argmax(1) != y])


def some_cells(s, y):
    return (s[s > 0] ** 2).sum() + s[(s < 0).nonzero(as_tuple=True)].abs().sum()


def rows_of(s, y):
    kept = s[s[:, 0] > 0.2]
    return (kept - kept.mean(dim=1, keepdim=True)).exp().mean() + kept.logsumexp(dim=0).sum()


def squared(s, y):
    kept = s[:, 1] > 0.3
    return F.mse_loss(s[:, 0][kept], y[kept].float())


def two_branches(s, y):
    r = (s[:, 0] - y).abs()
    return torch.cat([0.5 * r[r < 1] ** 2, r[r >= 1] - 0.5]).mean()


def put_back(s, y):
    out = torch.zeros_like(s)
    out[s > 0] = torch.log(s[s > 0])  # has no value where nothing is selected
    return out.sum() / 15


def by_layer(s, y):
    kept = s[:, 0] > 0.2
    return F.linear(s[kept], torch.ones(2, 3), torch.zeros(2)).tanh().sum(dim=1).mean()


def counted(s, y):
    loss = F.cross_entropy(s, y, reduction="none")
    return loss[loss > 1.0].sum() / (loss > 1.0).sum().clamp(min=1)


def weighed_logs(s, y):
    kept = s[:, 0] > 0.05
    return (s[:, 1].mean() * s[:, 0][kept].log()).sum() + s.square().sum()  # what weighs has a gradient of its own


def weighed_roots(s, y):
    room = 10 - s.square().sum(dim=1)
    return (s.mean() * room[room > 0].sqrt()).sum()


def labelled(s, y):
    kept = (y >= 0) & (s.max(dim=1).values > 0.3)
    return -s.log_softmax(1)[kept].gather(1, y[kept][:, None]).sum() / 5


def put_back_alone(s, y):
    far = s > 2.5  # nothing of the batch
    out = torch.zeros_like(s)
    out[far] = s[far]
    out[~far] = s[~far].exp()
    return out.mean()


def put_back_one(s, y):
    out = torch.zeros_like(s)
    out[s > 2.1] = 2 * s[s > 2.1]  # one of the batch
    return (out - s).square().mean()


def empty_on_the_batch(s, y):
    loss = s.square()
    loss[loss > 6] = 6 + loss[loss > 6].sub(5).log()  # as losses are bent over
    return loss.mean()


def zeroed_rows(s, y):
    rows = (s[:, 0] > 0.2).nonzero().flatten()
    weight = torch.ones_like(s[:, :1])
    weight[rows] = 0
    return (weight * s.exp()).mean() + s[rows].square().sum()


def asked_and_left(s, y):
    far = s > 0.1
    if not torch.any(far) or not torch.any(s < 9):
        return s.sum() * 0
    return s[s > 0.4].square().sum()


def parts(s, y):
    first, rest = s[s[:, 0] > 0.2].split((1, 2), dim=1)
    return (first.exp() * rest).mean()


PADDED = [hard, hard_places, hard_column, unsure, wrong_ones, some_cells, rows_of, squared, two_branches, put_back,
          put_back_alone, put_back_one, empty_on_the_batch, zeroed_rows, parts, by_layer, counted,
          weighed_logs, weighed_roots, labelled]  # fmt: skip


def by_number(s, y):
    kept = s[s > 0]
    return kept.sum() / max(kept.numel(), 1)


def by_length(s, y):
    kept = s[:, 0][s[:, 0] > 0]
    return kept.sum() / len(kept)


def by_shape(s, y):
    kept = s[s[:, 0] > 0]
    return kept.sum() / kept.shape[0]


def by_function(s, y):
    kept = s[s > 0]
    return kept.sum() / torch.numel(kept)


def by_places(s, y):
    places = (s[:, 0] > 0).argwhere()[:, 0]
    return s[places, 1].exp().sum() / len(places)


def guarded(s, y):
    kept = s > 0.4
    return s[kept].mean() if kept.any() else 0 * s.sum()


def guarded_by_sum(s, y):
    kept = s[:, 0] > 0.2
    if kept.sum() == 0:
        return s.sum() * 0
    return -s.log_softmax(1)[kept].gather(1, y[kept][:, None]).mean()


def nonzero_mean(s, y):
    loss = (s.square() - 0.5).relu().flatten()
    loss = loss[loss > 0]
    total = loss.mean() if len(loss) >= 1 else 0 * s.sum()
    return total + s[s < -1].square().sum()


def by_both_counts(s, y):
    up, down = s[s > 0], s[s < 0]
    return up.sum() / up.numel() - 0.5 * down.sum() * (1 / 3) / down.numel()


def summed_before(s, y):
    kept = s[:, 1:][s[:, 0] > 0.2]
    return kept.sum() / kept.numel() + kept.exp().sum() / len(kept)


def spline_of_scores(s, y):
    shapes = torch.linspace(-1, 1, 4) * s.detach()[..., None]
    moved, jacobian = spline(s, shapes, shapes.cos(), shapes[..., 1:])
    return (0.5 * moved.square() - jacobian).sum(-1).mean()


ASKED = [by_number, by_length, by_shape, by_function, by_places, guarded, guarded_by_sum, nonzero_mean, by_both_counts,
         summed_before, spline_of_scores, asked_and_left]  # fmt: skip


def ordered(s, y):
    return s[s > 0].sort().values.cumsum(0).mean()


def beside_constants(s, y):
    kept = s[:, 0] > 0
    return (s[kept][:, 0] * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum()


def by_value(s, y):
    kept = s[s > 0]
    return kept.mean() if kept.sum() > 1 else kept.square().mean()


AS_THEY_ARE = [ordered, beside_constants]


def other_way_with_many(s, y):
    kept = s[s > 0]
    return kept.mean() if len(kept) < 10 else kept.square().sum()


def by_ratio(s, y):
    kept = s[s > 0]
    return kept.sum() * (1 / len(kept))


def divergence(s, y):
    kept = s[:, 0] > 0.2
    return F.kl_div(s[kept].log_softmax(1), F.one_hot(y, 3).float()[kept], reduction="batchmean")


def soft_labels(s, y):
    kept = s[:, 0] > 0.2
    return F.cross_entropy(s[kept], F.one_hot(y, 3).float()[kept])


def graph_of(loss, s=S):
    given = {"s": s, "y": Y}
    batch = Batch(kwargs=given, whole=given)
    return capture(Target("loss", loss, "loss", None, (batch,), "function", target_names=("y",)), batch, 0)


def selects(graph):
    names = [n.aten for n in graph.graph.nodes]
    by_mask = [n for n in graph.graph.nodes if n.aten == "aten.index.Tensor" and n.shape[:1] != (1,)]
    return any("masked_select" in n or "nonzero" in n for n in names) or any(
        graph.graph.nodes[a.index].dtype == "bool" for n in by_mask for a in n.args[1]
    )


def points():
    """The batch, scores elsewhere, and scores with which each of the masks selects nothing."""
    drawn = torch.Generator().manual_seed(0)
    random = [3 * torch.randn(S.shape, generator=drawn) for _ in range(4)]
    return [S, *random, -S.abs() - 1, S.abs() + 1, 60 * F.one_hot(Y, 3).float() - 30]


@pytest.mark.parametrize("loss", PADDED)
def test_the_graph_has_one_shape_and_is_the_loss_everywhere(loss):
    graph = graph_of(loss)
    assert not selects(graph)
    for scores in points():
        (wanted, slopes), (found, others) = eager(graph.program, [scores, Y], 0), replayed(graph, [scores, Y])
        assert found == pytest.approx(wanted, rel=1e-5, nan_ok=True)
        if math.isfinite(wanted):
            torch.testing.assert_close(others, slopes, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", PADDED)
def test_many_points_at_once_are_the_points_one_by_one(loss):
    graph = graph_of(loss)
    every = torch.vmap(lambda s: graph.module(s, Y))(torch.stack(points()))
    assert every.tolist() == pytest.approx([replayed(graph, [s, Y])[0] for s in points()], rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("loss", AS_THEY_ARE)
def test_what_sorts_is_left_alone(loss):
    assert selects(graph_of(loss))


@pytest.mark.parametrize("loss", ASKED)
def test_where_some_are_selected_code_that_asks_how_many_is_the_graph(loss):
    graph = graph_of(loss)
    assert not selects(graph) and not disagreements(graph)
    compared = 0
    for scores in points():
        (wanted, slopes), (found, others) = eager(graph.program, [scores, Y], 0), replayed(graph, [scores, Y])
        assert math.isfinite(found)
        if not selects_nothing(graph, [scores, Y]):
            assert found == pytest.approx(wanted, rel=1e-5)
            torch.testing.assert_close(others, slopes, rtol=1e-4, atol=1e-6)
            compared += 1
    assert compared >= 5


def test_the_report_says_what_is_not_checked_of_code_that_asks():
    (remark,) = guarded_branches(graph_of(nonzero_mean))
    assert remark.startswith("the code asks how many are selected at ") and "if len(loss) >= 1" in remark
    assert remark.endswith(": checked where some are")


def test_a_branch_on_a_value_of_what_is_selected_holds_for_the_way_of_the_batch():
    graph = graph_of(by_value)
    assert not selects(graph)
    assert any(text.endswith("checked for the way the batch takes") for text in guarded_branches(graph))


class SplineFlow(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.shapes = torch.nn.Linear(2, 2 * 11)

    def forward(self, x):
        return spline_nll(x, *self.shapes(x).reshape(-1, 2, 11).split((4, 4, 3), dim=-1))


def test_what_the_inputs_of_a_model_select_is_padded_where_there_is_no_graph_otherwise():
    torch.manual_seed(0)
    batch = Batch(args=(torch.randn(6, 2),), targets=torch.zeros(6))
    target = Target("flow", lambda out, y: out + y.mean(), "flow", SplineFlow(), (batch,))
    with pytest.raises(RuntimeError):
        disagreements(capture(target, batch, 0))
    graph, remarks = captured(target, batch, 0)
    assert graph and not remarks and not selects(graph)


@pytest.mark.parametrize("loss", [divergence, soft_labels, other_way_with_many, by_ratio])
def test_a_number_that_means_something_else_is_noticed(loss):
    assert any("with noise" in text for text in disagreements(graph_of(loss)))


def residual(s):
    for _ in range(40):
        s = s + torch.tanh(s)
    return s.softmax(1).amax(1) > 0.4


def sure_twice(s, y):
    loss = F.cross_entropy(s, y, reduction="none")
    return loss[residual(s)].mean() + loss[residual(s)].mean()


def test_masks_that_are_computed_twice_are_compared_in_a_time_linear_in_their_ops():
    """Each of 40 layers reads the one before twice: 2**40 comparisons of pairs, were none remembered."""
    assert not selects(graph_of(sure_twice))


def test_a_mean_of_many_numbers_stays_within_float16():
    count = 8192

    def large(s, y):
        loss = s.abs()
        return loss[loss > 1.0].mean()

    given = {"s": torch.full((count,), 20.0), "y": Y}
    batch = Batch(kwargs=given, whole=given)
    graph = capture(Target("loss", large, "loss", None, (batch,), "function", target_names=("y",)), batch, 0)
    assert Runner(graph.module, torch.float16).run(given["s"].half(), Y) == 20


def test_the_op_that_somebody_wrote_keeps_its_name_and_line():
    nodes = graph_of(hard).graph.nodes
    assert [(n.op, n.site.source) for n in nodes if n.meant] == [("div", "return loss[loss > 1.0].mean()")]
