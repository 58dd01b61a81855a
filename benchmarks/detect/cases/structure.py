"""The batch's structure: selections, masks, single rows, choices between two branches, guards in the wrong place."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, fixed, given, normal, positive, put, same, scale, sound, unit

WHERE = "github.com/pytorch/pytorch issues 23395, 68425, 108618 and 156212: the gradient of the branch not taken"
MASK = fixed([True, True, False, True, False, True, True, False])
NONE = fixed([False] * 8)
PAIR = {"x": normal(8), "y": normal(8)}
RAGGED = "PyTorch documentation, torch.mean: NaN for an empty tensor"


def selected_mean(x, y, mask):
    return F.mse_loss(x[mask], y[mask])  # <- here


def selected_mean_guarded(x, y, mask):
    error = (x - y) ** 2 * mask
    return error.sum() / mask.sum().clamp(min=1)


def masked_average(x, y, mask):
    error = (x - y) ** 2 * mask
    return error.sum() / mask.sum()  # <- here


def masked_average_where(x, y, mask):
    return torch.where(mask, (x - y) ** 2, 0.0).sum() / 8


def nan_times_zero(x, y, mask):
    error = torch.log(y) - x  # <- here
    return (error**2 * mask).mean()  # <- here


def nan_selected_away(x, y, mask):
    return ((torch.log(y[mask]) - x[mask]) ** 2).sum() / mask.sum().clamp(min=1)


def missing_targets(x, y):
    return ((x - y) ** 2).nanmean()  # <- here


def missing_in_the_mean(x, y):
    return ((x - y.nanmean()) ** 2).mean()


def missing_targets_zeroed(x, y):
    known = ~torch.isnan(y)
    return (torch.where(known, x - torch.nan_to_num(y), 0.0) ** 2).sum() / known.sum().clamp(min=1)


def where_sqrt(x):
    root = torch.where(x > 0, torch.sqrt(x), torch.zeros_like(x))  # <- here
    return root.mean()


def where_sqrt_guarded(x):
    positive = x > 0
    root = torch.where(positive, torch.sqrt(torch.where(positive, x, 1.0)), 0.0)
    return root.mean()


def where_log(x, y):
    term = torch.where(x > 0, y * torch.log(x), torch.zeros_like(x))  # <- here
    return -term.mean()


def where_exp(x):
    elu = torch.where(x > 0, x, torch.exp(x) - 1)  # <- here
    return (elu**2).mean()


def where_exp_guarded(x):
    elu = torch.where(x > 0, x, torch.expm1(torch.clamp(x, max=0.0)))
    return (elu**2).mean()


def where_division(x, y):
    ratio = torch.where(y == 0, torch.zeros_like(x), x / y)  # <- here
    return (ratio**2).mean()


def where_division_guarded(x, y):
    zero = y == 0
    ratio = torch.where(zero, torch.zeros_like(x), x / torch.where(zero, torch.ones_like(y), y))
    return (ratio**2).mean()


def where_division_of_parameter(x, scale):
    ratio = torch.where(scale.abs() < 1e-3, torch.zeros_like(x), x / scale)  # <- here
    return (ratio**2).mean()


def sinc_by_hand(x):
    return (1 - torch.where(x == 0, torch.ones_like(x), torch.sin(x) / x)).mean()  # <- here


def sinc_library(x):
    return (1 - torch.sinc(x)).mean()


def clamp_after_exp(x, y):
    rate = torch.exp(x).clamp(max=1e4)  # <- here
    return (rate - y * x).mean()


def clamp_before_exp(x, y):
    rate = torch.exp(x.clamp(max=9.0))
    return (rate - y * x).mean()


def clamp_discarded(x, y):
    p = torch.sigmoid(x)
    p.clamp(1e-6, 1 - 1e-6)
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()  # <- here


def clamp_to_zero_before_sqrt(x, y):
    squared = torch.clamp((x - y) ** 2, min=0.0)
    return torch.sqrt(squared).mean()  # <- here


def nan_to_num_over_division(x, scale):
    z = torch.nan_to_num(x / scale)  # <- here
    return (z**2).mean()


def one_row_std(x):
    z = (x - x.mean(0)) / x.std(0)  # <- here
    return (z**2).mean()


def one_row_biased_std(x, y):
    z = (x - x.mean(0)) / (x.std(0, unbiased=False) + 1e-5)
    return F.mse_loss(z, y)


def advantage_normalised(x, logits):
    adv = (x - x.mean()) / x.std()  # <- here
    return -(F.logsigmoid(logits) * adv).mean()


def advantage_normalised_eps(x, logits):
    adv = (x - x.mean()) / (x.std() + 1e-8)
    return -(F.logsigmoid(logits) * adv).mean()


def no_positives(x, y):
    positive, negative = x[y == 1], x[y == 0]
    return F.softplus(-positive).mean() + F.softplus(negative).mean()  # <- here


def class_weights_by_frequency(x, y):
    weight = y.numel() / (2 * y.sum())  # <- here
    return F.binary_cross_entropy_with_logits(x, y, pos_weight=weight)


def class_weights_bounded(x, y):
    weight = y.numel() / (2 * y.sum().clamp(min=1.0))
    return F.binary_cross_entropy_with_logits(x, y, pos_weight=weight)


def weighted_mean(x, y, weight):
    return (weight * (x - y) ** 2).sum() / weight.sum()


def in_place_log(x, y):
    log_p = x.clone()
    log_p.sub_(x.logsumexp(-1, keepdim=True)).mul_(y)
    return -log_p.sum(-1).mean()


def in_place_on_input(x, y):
    x = x.clone()
    x[y > 0] *= 0.5
    return (x - y).pow(2).mean()


def fractional_power(x, y):
    return ((x - y).abs() + 1e-6).pow(1.5).mean()


def fractional_power_of_negative(x, y):
    return ((x - y) ** 1.5).mean()  # <- here


def geometric_mean(x):
    return -(torch.prod(x, 0) ** (1 / 60))  # <- here


def geometric_mean_in_logs(x):
    return -torch.exp(torch.log(x).mean())


def quadratic_root(a, b, c):
    return ((-b + torch.sqrt(b**2 - 4 * a * c)) / (2 * a)).pow(2).mean()  # <- here


def einsum_bilinear(x, y):
    outer = torch.einsum("i,j->ij", x, y)
    return torch.logsumexp(outer.flatten(), 0) - outer.diagonal().mean()


def softmax_temperature(x, temperature, y):
    return F.cross_entropy((x / temperature)[None], y)  # <- here


def harmonic_mean(x):
    return x.numel() / (1 / x).sum()


def error_where_selected(x, y, mask):
    return (x - y)[mask].pow(2).mean()  # <- here


def error_where_selected_guarded(x, y, mask):
    return (x - y)[mask].pow(2).sum() / mask.sum().clamp(min=1)


def both_classes(x, labels):
    ahead, behind = F.softplus(-x[labels == 1]), F.softplus(x[labels == 0])
    return ahead.mean() + behind.mean()  # <- here


def both_classes_guarded(x, labels):
    ahead, behind = F.softplus(-x) * (labels == 1), F.softplus(x) * (labels == 0)
    return ahead.sum() / (labels == 1).sum().clamp(min=1) + behind.sum() / (labels == 0).sum().clamp(min=1)


def proportional_hazards(risk, event):
    log_sum = torch.logcumsumexp(risk, 0)
    return -((risk - log_sum) * event).sum() / event.sum()  # <- here


def proportional_hazards_guarded(risk, event):
    log_sum = torch.logcumsumexp(risk, 0)
    return -((risk - log_sum) * event).sum() / event.sum().clamp(min=1)


def attend_to_some(score, value, seen):
    p = torch.softmax(score.masked_fill(~seen, float("-inf")), -1)  # <- here
    return (p * value).sum(-1).pow(2).mean()


def attend_to_some_guarded(score, value, seen):
    none = ~seen.any(-1, keepdim=True)
    p = torch.softmax(score.masked_fill(~(seen | none), float("-inf")), -1)
    return (p * value * ~none).sum(-1).pow(2).mean()


def log_of_padding(rate, y, mask):
    deviance = y * torch.log(y / rate) - (y - rate)  # <- here
    return (deviance * mask).mean()


def log_of_padding_guarded(rate, y, mask):
    known = torch.where(mask > 0, y, 1.0)
    deviance = known * torch.log(known / rate) - (known - rate)
    return (deviance * mask).mean()


def padded_sequences(x, y, mask):
    return ((x - y) ** 2 * mask).sum() / mask.sum()


MISSING = fixed([0.3, float("nan"), -0.2, 1.0, float("nan"), 0.4, 0.1, -1.2])
OUT_OF_LOG = fixed([0.3, 1.2, 0.0, 1.0, 0.0, 0.4, 0.1, 0.0])
COUNTS = fixed([0.0, 1, 2, 0, 1, 3, 1, 2])
FLOATS = fixed([1.0, 1, 0, 1, 0, 1, 1, 0])
SEEN = fixed([[True, False, True], [True, True, True], [False, True, True], [True, True, False]])
RATES = {"rate": positive(8), "y": positive(8)}
STEPS = {"x": normal(3, 4), "y": normal(3, 4), "mask": fixed([[1.0, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]])}
SURVIVAL = "Katzman et al., DeepSurv, 2018: a batch without events"
ATTENTION = "github.com/pytorch/pytorch issue 41508: every key of a row masked"


def _none(name: str):
    return lambda s: s[name].zero_()


CASES = (
    bug(error_where_selected, given(**PAIR, mask=MASK, target="y mask"), "mean", RAGGED, _none("mask"),
        verdict="limit defect"),
    sound(error_where_selected_guarded, given(**PAIR, mask=MASK, target="y mask"), RAGGED, _none("mask")),
    bug(both_classes, given(x=normal(8), labels=fixed([0, 1, 1, 0, 1, 0, 0, 1]), target="labels"), "mean", RAGGED,
        _none("labels"), verdict="limit defect"),
    sound(both_classes_guarded, given(x=normal(8), labels=fixed([0, 1, 1, 0, 1, 0, 0, 1]), target="labels"), RAGGED,
          _none("labels")),
    bug(proportional_hazards, given(risk=normal(8), event=FLOATS, target="event"), "div", SURVIVAL, _none("event"),
        verdict="limit defect"),
    sound(proportional_hazards_guarded, given(risk=normal(8), event=FLOATS, target="event"), SURVIVAL, _none("event")),
    bug(attend_to_some, given(score=normal(4, 3), value=normal(4, 3), seen=SEEN, target="seen"), "softmax", ATTENTION,
        lambda s: s["seen"][0].zero_(), verdict="limit defect"),
    sound(attend_to_some_guarded, given(score=normal(4, 3), value=normal(4, 3), seen=SEEN, target="seen"), ATTENTION,
          lambda s: s["seen"][0].zero_()),
    bug(log_of_padding, given(**RATES, mask=FLOATS, target="y mask"), "log mul", "McCullagh & Nelder, Generalized "
        "linear models, 1989: the Poisson deviance of a padded 0", lambda s: s["y"].mul_(s["mask"]),
        verdict="limit defect"),
    sound(log_of_padding_guarded, given(**RATES, mask=FLOATS, target="y mask"), "McCullagh & Nelder 1989",
          lambda s: s["y"].mul_(s["mask"])),
    sound(padded_sequences, given(**STEPS, target="y mask"), "Hugging Face course, padded batches: no sequence is "
          "empty"),
    bug(selected_mean, given(**PAIR, mask=NONE, target="y mask"), "mse_loss mean div", RAGGED, lambda s: None,
        verdict="limit defect"),
    sound(selected_mean_guarded, given(**PAIR, mask=NONE, target="y mask"), RAGGED),
    bug(masked_average, given(**PAIR, mask=NONE, target="y mask"), "div", RAGGED, lambda s: None,
        verdict="limit defect"),
    sound(masked_average_where, given(**PAIR, mask=MASK, target="y mask"), WHERE),
    bug(nan_times_zero, given(x=normal(8), y=OUT_OF_LOG, mask=MASK, target="y mask"), "mul log",
        "github.com/pytorch/pytorch issue 52248; IEEE 754: inf times 0 is NaN", lambda s: None,
        verdict="limit defect"),
    sound(nan_selected_away, given(x=normal(8), y=OUT_OF_LOG, mask=MASK, target="y mask"), "IEEE 754; boolean index"),
    bug(missing_targets, given(x=normal(8), y=MISSING, target="y"), "pow mul mean sub", "PyTorch documentation, "
        "torch.nanmean: the value is right, the gradient is 0 times NaN", lambda s: None, phase="backward",
        verdict="defect limit"),
    sound(missing_in_the_mean, given(x=normal(8), y=MISSING, target="y"), "PyTorch documentation, torch.nanmean"),
    sound(missing_targets_zeroed, given(x=normal(8), y=MISSING, target="y"), WHERE),
    bug(where_sqrt, given(x=normal(8)), "sqrt", "github.com/pytorch/pytorch issue 187297; " + WHERE,
        put(x=0.0), phase="backward"),
    sound(where_sqrt_guarded, given(x=normal(8)), "github.com/jax-ml/jax issue 347: the double where", put(x=-5.0)),
    bug(where_log, given(x=normal(8), y=bits(8), target="y"), "log mul", WHERE, put(x=0.0), phase="backward"),
    bug(where_exp, given(x=normal(8)), "exp", "github.com/pytorch/pytorch issue 68425", put(x=100.0),
        phase="backward"),
    sound(where_exp_guarded, given(x=normal(8)), "github.com/pytorch/pytorch issue 68425, guarded", put(x=100.0)),
    bug(where_division, given(x=normal(8), y=COUNTS, target="y"), "div", WHERE, lambda s: None, phase="backward"),
    sound(where_division_guarded, given(x=normal(8), y=COUNTS, target="y"), WHERE + ", guarded"),
    bug(where_division_of_parameter, given(x=normal(8), scale=normal(8)), "div", "github.com/pytorch/pytorch issue "
        "36923", put(scale=0.0), phase="backward"),
    bug(sinc_by_hand, given(x=normal(8)), "div", "PyTorch documentation, torch.sinc; " + WHERE, put(x=0.0),
        phase="backward"),
    sound(sinc_library, given(x=normal(8)), "PyTorch documentation, torch.sinc", put(x=0.0)),
    bug(clamp_after_exp, given(x=normal(8), y=normal(8), target="y"), "exp clamp", WHERE + ": the same for clamp",
        put(x=120.0), phase="backward"),
    sound(clamp_before_exp, given(x=normal(8), y=normal(8), target="y"), "torchvision, box coder clamps before exp",
          put(x=120.0)),
    bug(clamp_discarded, given(x=normal(8), y=bits(8), target="y"), "log mul", "Yan et al., GRIST, ESEC/FSE 2021: "
        "log without protection; PyTorch documentation, clamp is not in place", put(x=-200.0)),
    bug(clamp_to_zero_before_sqrt, given(**PAIR, target="y"), "sqrt", "github.com/pytorch/pytorch issue 2421",
        same("x", "y"), phase="backward", verdict="defect limit"),
    bug(nan_to_num_over_division, given(x=normal(8), scale=normal(8)), "div nan_to_num", "PyTorch documentation, "
        "torch.nan_to_num: the gradient still divides", put(scale=0.0), verdict="defect limit silent"),
    bug(one_row_std, given(x=normal(1, 5)), "std div", "github.com/pytorch/pytorch issue 29372", lambda s: None,
        verdict="limit defect"),
    sound(one_row_biased_std, given(x=normal(6, 5), y=normal(6, 5), target="y"), "PyTorch documentation, BatchNorm1d",
          scale(x=100.0)),
    bug(advantage_normalised, given(x=normal(8), logits=normal(8), target="x"), "div std", "Schulman et al., PPO, "
        "arXiv:1707.06347; Stable-Baselines3 adds 1e-8", lambda s: s["x"].fill_(1.0), verdict="limit defect"),
    sound(advantage_normalised_eps, given(x=normal(8), logits=normal(8), target="x"),
          "Stable-Baselines3 documentation, PPO normalize_advantage", lambda s: s["x"].fill_(1.0)),
    bug(no_positives, given(x=normal(8), y=fixed([0.0] * 8), target="y"), "mean softplus", RAGGED, lambda s: None,
        verdict="limit defect"),
    bug(class_weights_by_frequency, given(x=normal(8), y=fixed([0.0] * 8), target="y"), "div mul bce_with_logits",
        "King & Zeng, Logistic regression in rare events data, 2001: a batch without positives", lambda s: None,
        verdict="limit defect"),
    sound(class_weights_bounded, given(x=normal(8), y=bits(8), target="y"), "King & Zeng 2001", scale(x=60.0)),
    sound(weighted_mean, given(**PAIR, weight=positive(8), target="y weight"), "scikit-learn, sample_weight"),
    sound(in_place_log, given(x=normal(8, 5), y=fixed(torch.eye(5)[[0, 1, 2, 3, 4, 0, 1, 2]]), target="y"),
          "PyTorch documentation, in-place operations with autograd"),
    sound(in_place_on_input, given(**PAIR, target="y"), "PyTorch documentation, in-place operations with autograd"),
    sound(fractional_power, given(**PAIR, target="y"), "Barron, A general and adaptive robust loss, CVPR 2019",
          same("x", "y")),
    bug(fractional_power_of_negative, given(x=normal(8, shift=1.0), y=normal(8, shift=-6.0), target="y"), "pow",
        "IEEE 754: pow of a negative base", put(x=-20.0), verdict="limit"),
    bug(geometric_mean, given(x=unit(60)), "pow prod div", "SacreBLEU and GRIST families: a product of "
        "probabilities", lambda s: s["x"].mul_(0.01)),
    sound(geometric_mean_in_logs, given(x=unit(60)), "Post, A call for clarity in reporting BLEU, 2018",
          lambda s: s["x"].mul_(0.01)),
    bug(quadratic_root, given(a=positive(6), b=normal(6, shift=6.0), c=positive(6)), "sqrt", "Goldberg, What every "
        "computer scientist should know about floating-point arithmetic, 1991", put(b=1.0), verdict="limit"),
    sound(einsum_bilinear, given(**PAIR), "PyTorch documentation, torch.einsum", scale(x=30.0)),
    bug(softmax_temperature, given(x=normal(5), temperature=positive(1), y=fixed([2]), target="y"), "div",
        "Guo et al., On calibration of modern neural networks, ICML 2017: a temperature at 0",
        put(temperature=0.0), verdict="limit defect"),
    sound(harmonic_mean, given(x=positive(8)), "Lipton et al., Thresholding classifiers to maximize F1, 2014"),
)  # fmt: skip
