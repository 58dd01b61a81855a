"""Ways of writing a loss that are hard to trace: loops, scripts, compiled parts, hooks, branches, narrow types."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, classes, fixed, given, modelled, normal, put, scale, sound

PLAIN = given(x=normal(12))
PAIR = given(x=normal(8), y=normal(8), target="y")
LABELS = given(x=normal(8, 3), y=classes(8, 3), target="y")
TORCH = "PyTorch documentation, "
FAR = put(x=-200.0)


def loop_over_samples(x, y):
    total = torch.zeros(())
    for i in range(len(x)):
        total = total + torch.log(1 + torch.exp(-x[i] * y[i]))  # <- here
    return total / len(x)


def loop_over_samples_softplus(x, y):
    total = torch.zeros(())
    for i in range(len(x)):
        total = total + F.softplus(-x[i] * y[i])
    return total / len(x)


def appended_terms(x):
    terms = []
    for value in x.unbind():
        terms.append(-torch.log(torch.sigmoid(value)))  # <- here
    return torch.stack(terms).mean()


def _plain(x: torch.Tensor) -> torch.Tensor:
    return -torch.log(torch.sigmoid(x)).mean()  # <- here


_scripted = torch.jit.script(_plain)
_compiled = torch.compile(_plain, backend="eager")


def scripted(x):
    return _scripted(x)  # <- here


def compiled(x):
    return _compiled(x)


def over_samples_by_vmap(x):
    return -torch.vmap(lambda value: torch.log(torch.sigmoid(value)))(x).mean()  # <- here


class Exponential(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        result = torch.exp(x)  # <- here
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0]


def custom_exponential(x):
    return torch.log(1 + Exponential.apply(x)).mean()  # <- here


def branch_on_the_value(x, y):
    loss = F.cross_entropy(x, y)
    return loss * 0.5 if loss.item() > 2 else loss


def hooked(x):
    bounded = torch.tanh(x)
    if bounded.requires_grad:
        bounded.register_hook(lambda grad: grad.clamp(-1, 1))
    return (bounded**2).mean()


def shifted_by_a_constant_maximum(x):
    with torch.no_grad():
        top = x.max()
    return torch.log(torch.exp(x - top).sum()) + top - x.mean()


def spectrum(x):
    power = torch.fft.rfft(x).abs() ** 2
    return torch.log(power + 1e-3).mean()


def assigned_by_mask(x, y):
    out = torch.zeros_like(x)
    out[y > 0] = F.softplus(x[y > 0])
    return out.mean()


def assigned_logs_by_mask(x, y):
    out = torch.zeros_like(x)
    out[y > 0] = torch.log(torch.sigmoid(x[y > 0]))  # <- here
    return -out.mean()


def one_sample(x):
    return -torch.log(torch.sigmoid(x)).sum()  # <- here


def log_of_singular_values(x):
    return -torch.log(torch.linalg.svdvals(x)).sum()  # <- here


def autocast(model, batch):
    inputs, target = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(inputs)
    return F.cross_entropy(logits.float(), target)


def many_rows(x, y):
    return -torch.log(torch.softmax(x, -1)).gather(1, y[:, None]).mean()  # <- here


CASES = (
    bug(loop_over_samples, PAIR, "exp log", "Yan et al., GRIST, ESEC/FSE 2021; in a loop", put(x=-400.0, y=1.0)),
    sound(loop_over_samples_softplus, PAIR, TORCH + "torch.nn.functional.softplus", put(x=-400.0)),
    bug(appended_terms, PLAIN, "log", TORCH + "torch.stack", FAR),
    bug(scripted, PLAIN, "log", TORCH + "torch.jit.script", FAR, where=(_plain, scripted)),
    bug(compiled, PLAIN, "log", TORCH + "torch.compile", FAR, where=(_plain,)),
    bug(over_samples_by_vmap, PLAIN, "log", TORCH + "torch.vmap", FAR),
    bug(custom_exponential, PLAIN, "exp log", TORCH + "torch.autograd.Function", put(x=120.0),
        where=(custom_exponential, Exponential)),
    sound(branch_on_the_value, LABELS, TORCH + "torch.Tensor.item", scale(x=20.0)),
    sound(hooked, PLAIN, TORCH + "torch.Tensor.register_hook", scale(x=20.0)),
    sound(shifted_by_a_constant_maximum, PLAIN, "Blanchard, Higham & Higham 2021", scale(x=20.0)),
    sound(spectrum, PLAIN, TORCH + "torch.fft.rfft"),
    sound(assigned_by_mask, PAIR, TORCH + "boolean index assignment", scale(x=60.0)),
    bug(assigned_logs_by_mask, given(x=normal(8), y=fixed([1.0] * 8), target="y"), "log",
        TORCH + "boolean index assignment", FAR),
    bug(one_sample, given(x=fixed([1.27])), "log", "Yan et al., GRIST, ESEC/FSE 2021; a batch of one", FAR),
    bug(log_of_singular_values, given(x=normal(4, 4)), "log", TORCH + "torch.linalg.svdvals",
        lambda s: s["x"].fill_(1.0), verdict="limit defect"),
    sound(autocast, modelled(lambda: nn.Linear(4, 3), normal(12, 4), classes(12, 3)), TORCH + "torch.autocast"),
    bug(many_rows, given(x=normal(1500, 20), y=classes(1500, 20), target="y"), "log", "Yan et al., GRIST, ESEC/FSE "
        "2021; at an ordinary size", put(x=-200.0)),
)  # fmt: skip
