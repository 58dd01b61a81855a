"""Recurrent cells, attention and alignments by hand, each with its defect and its repair."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, fill, given, modelled, normal, scale, sound

MONOTONIC = "monotonic attention (Raffel et al. 2017, eq. 13), expected alignments in parallel; github.com/craffel/mad"
SLSTM = "exponential gates with a normaliser state (Beck et al., xLSTM, 2024, eq. 8-17); github.com/NX-AI/xlstm"
ZERO_ORDER = "zero-order hold of a diagonal state space (Gupta et al. 2022, eq. 3; Gu & Dao 2023, eq. 4)"
LINEAR = "linear recurrent unit (Orvieto et al. 2023, eq. 7-8); github.com/Gothos/LRU-pytorch"
FRAMES = "connectionist temporal classification by hand (Graves et al. 2006, eq. 5-8)"


class Monotonic(nn.Module):
    """Keys attended once, from left to right; `b` memory steps, `t` output steps."""

    def __init__(self) -> None:
        super().__init__()
        self.energy, self.read = nn.Linear(4, 1), nn.Linear(4, 3)

    def left(self, p):
        return torch.cumprod(torch.cat([torch.ones_like(p[:, :1]), 1 - p[:, :-1]], 1), 1)

    def forward(self, memory):
        p = torch.sigmoid(self.energy(memory).squeeze(2))
        before = torch.zeros_like(p)
        before[:, 0] = 1.0
        read = []
        for _ in range(2):
            left = self.left(p)
            before = p * left * torch.cumsum(before / left, 1)  # <- here
            read.append(self.read((before[..., None] * memory).sum(1)))
        return torch.stack(read, 1)


class MonotonicHeld(Monotonic):
    def left(self, p):
        return super().left(p).clamp(1e-6, 1.0)


def goals(read, target):
    return F.mse_loss(read, target)


class ExponentialCell(nn.Module):
    """One cell with exp as the input gate; its normaliser sums what was let in."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Linear(3, 4 * 5)

    def forward(self, x):
        c = n = torch.zeros(len(x), 5)
        out = []
        for step in x.unbind(1):
            z, i, f, o = self.gates(step).chunk(4, 1)
            let_in, kept = torch.exp(i), torch.sigmoid(f)  # <- here
            c, n = kept * c + let_in * torch.tanh(z), kept * n + let_in
            out.append(torch.sigmoid(o) * c / n)  # <- here
        return torch.stack(out, 1)


class StabilisedCell(ExponentialCell):
    def forward(self, x):
        c = n = torch.zeros(len(x), 5)
        top = torch.full((len(x), 5), -30.0)
        out = []
        for step in x.unbind(1):
            z, i, f, o = self.gates(step).chunk(4, 1)
            log_kept = F.logsigmoid(f)
            new = torch.maximum(log_kept + top, i)
            let_in, kept = torch.exp(i - new), torch.exp(log_kept + top - new)
            c, n, top = kept * c + let_in * torch.tanh(z), kept * n + let_in, new
            out.append(torch.sigmoid(o) * c / n.clamp(min=1e-3))
        return torch.stack(out, 1)


class Diagonal(nn.Module):
    """Real poles -exp(log_pole), steps exp(log_step), input held between samples."""

    def __init__(self) -> None:
        super().__init__()
        self.log_pole, self.log_step = nn.Parameter(torch.linspace(-0.5, 1.0, 4)), nn.Parameter(torch.tensor(-1.0))
        self.b, self.c = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4))

    def discrete(self):
        pole, step = -torch.exp(self.log_pole), torch.exp(self.log_step)
        decay = torch.exp(step * pole)
        return decay, (decay - 1) / pole * self.b  # <- here

    def forward(self, u):
        decay, gain = self.discrete()
        state, out = torch.zeros(len(u), 4), []
        for k in range(u.shape[1]):
            state = decay * state + gain * u[:, k : k + 1]
            out.append(state @ self.c)
        return torch.stack(out, 1)


class DiagonalEuler(Diagonal):
    def discrete(self):
        pole, step = -torch.exp(self.log_pole.clamp(-9.0, 9.0)), torch.exp(self.log_step.clamp(-9.0, 3.0))
        return torch.exp(step * pole), step * self.b


class Recurrence(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.nu, self.into, self.out = nn.Parameter(torch.linspace(-2, 0, 4)), nn.Linear(3, 4), nn.Linear(4, 1)

    def rate(self):
        return torch.exp(-torch.exp(self.nu))

    def forward(self, x):
        rate, h, u = self.rate(), torch.zeros(len(x), 4), self.into(x)
        scale = torch.sqrt(1 - rate**2)  # <- here
        for k in range(x.shape[1]):
            h = rate * h + scale * u[:, k]
        return self.out(h)[:, 0]


class RecurrenceHeld(Recurrence):
    def rate(self):
        return 0.999 * torch.exp(-torch.exp(self.nu.clamp(max=4.0)))


def error(pred, y):
    return ((pred - y) ** 2).mean()


LABELS = (0, 1, 0, 2, 0, 1, 0)  # 1 2 1 with blanks between
MAY_SKIP = torch.tensor([False, False, False, True, False, True, False])


def paths(scores):
    p = torch.softmax(scores, 2)[:, :, list(LABELS)]
    alpha = torch.cat([p[:, 0, :2], torch.zeros(len(p), 5)], 1)
    for t in range(1, p.shape[1]):
        one, two = F.pad(alpha[:, :-1], (1, 0)), F.pad(alpha[:, :-2], (2, 0))
        alpha = (alpha + one + two * MAY_SKIP) * p[:, t]
    return -torch.log(alpha[:, -1] + alpha[:, -2]).mean()  # <- here


def paths_in_logs(scores):
    log_p = torch.log_softmax(scores, 2)[:, :, list(LABELS)]
    closed = torch.where(MAY_SKIP, 0.0, -1e9)
    alpha = torch.cat([log_p[:, 0, :2], torch.full((len(log_p), 5), -1e9)], 1)
    for t in range(1, log_p.shape[1]):
        one, two = F.pad(alpha[:, :-1], (1, 0), value=-1e9), F.pad(alpha[:, :-2], (2, 0), value=-1e9)
        alpha = torch.logsumexp(torch.stack([alpha, one, two + closed]), 0) + log_p[:, t]
    return -torch.logaddexp(alpha[:, -1], alpha[:, -2]).mean()


MEMORY = normal(4, 6, 4), normal(4, 2, 3)
SERIES = normal(5, 8, 3), normal(5, 8, 5)
DRIVEN = normal(5, 7), normal(5, 7)
FRAME = given(scores=normal(3, 8, 3))
PASSED = fill({"energy.bias": 80.0})


CASES = (
    bug(goals, modelled(Monotonic, *MEMORY), "div", MONOTONIC, PASSED, where=(Monotonic.forward,)),
    sound(goals, modelled(MonotonicHeld, *MEMORY), MONOTONIC),
    bug(goals, modelled(ExponentialCell, *SERIES), "exp div", SLSTM, scale({"gates.weight": 300.0}),
        where=(ExponentialCell.forward,)),
    sound(goals, modelled(StabilisedCell, *SERIES), SLSTM),
    bug(error, modelled(Diagonal, *DRIVEN), "div", ZERO_ORDER, fill(log_pole=-110.0), where=(Diagonal.discrete,),
        kind="nan inf precision", verdict="defect silent"),
    sound(error, modelled(DiagonalEuler, *DRIVEN), ZERO_ORDER, fill(log_pole=-110.0)),
    bug(error, modelled(Recurrence, normal(6, 5, 3), normal(6)), "sqrt", LINEAR, fill(nu=-30.0), phase="backward",
        where=(Recurrence.forward,)),
    sound(error, modelled(RecurrenceHeld, normal(6, 5, 3), normal(6)), LINEAR, fill(nu=-30.0)),
    bug(paths, FRAME, "log", FRAMES, scale(scores=40.0)),
    sound(paths_in_logs, FRAME, FRAMES, scale(scores=40.0)),
)  # fmt: skip
