"""The table: every loss of `losses_bad` and `losses_good` with a small seeded model and a batch that suits it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import losses_bad
import losses_good
import torch

import nllcheck
from nllcheck.report import Report

MARK = "# <- here"


@dataclass(frozen=True)
class Case:
    name: str
    loss: Callable[..., torch.Tensor]
    targets: str = "real"  # real | label | binary | pair | count
    op: str = ""  # bad losses: the op where the failure is born
    phase: str = "forward"

    @property
    def line(self) -> int:
        lines, start = inspect.getsourcelines(self.loss)
        return next(start + i for i, text in enumerate(lines) if MARK in text)


BAD = (
    Case("log_softmax_by_hand", losses_bad.log_softmax_by_hand, "label", "log"),
    Case("log_sigmoid_by_hand", losses_bad.log_sigmoid_by_hand, "binary", "log"),
    Case("softplus_by_hand", losses_bad.softplus_by_hand, op="exp"),
    Case("logsumexp_by_hand", losses_bad.logsumexp_by_hand, "label", "exp"),
    Case("softmax_by_hand", losses_bad.softmax_by_hand, "label", "exp"),
    Case("correlation", losses_bad.correlation, "pair", "div"),
    Case("correlation_log", losses_bad.correlation_log, "pair", "log"),
    Case("pdf_then_log", losses_bad.pdf_then_log, op="log"),
    Case("sqrt_at_zero", losses_bad.sqrt_at_zero, op="sqrt", phase="backward"),
    Case("where_hides_nan", losses_bad.where_hides_nan, op="sqrt", phase="backward"),
    Case("where_hides_exp", losses_bad.where_hides_exp, op="exp", phase="backward"),
    Case("epsilon_absorbed", losses_bad.epsilon_absorbed, "binary", "log"),
    Case("vanishing_scale", losses_bad.vanishing_scale, op="div", phase="backward"),
    Case("clamp_after_exp", losses_bad.clamp_after_exp, "count", "exp", "backward"),
    Case("acos_at_one", losses_bad.acos_at_one, op="acos", phase="backward"),
    Case("atanh_at_one", losses_bad.atanh_at_one, op="atanh"),
    Case("log_of_difference", losses_bad.log_of_difference, op="log"),
)

GOOD = (
    Case("cross_entropy", losses_good.cross_entropy, "label"),
    Case("nll_of_log_softmax", losses_good.nll_of_log_softmax, "label"),
    Case("masked_cross_entropy", losses_good.masked_cross_entropy, "label"),
    Case("bce_with_logits", losses_good.bce_with_logits, "binary"),
    Case("logsigmoid_pair", losses_good.logsigmoid_pair, "binary"),
    Case("gaussian_bounded", losses_good.gaussian_bounded),
    Case("gaussian_softplus", losses_good.gaussian_softplus),
    Case("gaussian_nll", losses_good.gaussian_nll),
    Case("poisson", losses_good.poisson, "count"),
    Case("huber", losses_good.huber),
    Case("laplace", losses_good.laplace),
    Case("student_t", losses_good.student_t),
    Case("correlation_safe", losses_good.correlation_safe, "pair"),
    Case("mixture_logsumexp", losses_good.mixture_logsumexp),
)

ALL = {case.name: case for case in (*BAD, *GOOD)}


def model_for(case: Case) -> torch.nn.Module:
    """A small network with three raw outputs; the seed fixes its weights."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))


def batch_for(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """24 rows; targets as the loss needs them."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(24, 4, generator=generator)
    real = torch.randn(24, generator=generator)
    targets = {
        "real": real,
        "label": torch.randint(0, 3, (24,), generator=generator),
        "binary": (real > 0).float(),
        "pair": torch.randn(24, 2, generator=generator),
        "count": torch.poisson(torch.full((24,), 3.0), generator=generator),
    }
    return inputs, targets[case.targets]


@functools.cache
def report_of(name: str) -> Report:
    """The check of a case, computed once for all laws."""
    case = ALL[name]
    return nllcheck.check(case.loss, model=model_for(case), batch=batch_for(case))
