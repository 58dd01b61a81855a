"""The gradient that is derived from the captured program against autograd's own, over ops whose derivative writes into
parts of tensors that it has just made."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from nllcheck.capture import capture
from nllcheck.sweep.joint import joint_graph
from nllcheck.target import Batch, Target

X = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
Y = torch.randn(3, 16, generator=torch.Generator().manual_seed(2))


def written_in_place(x):
    z = torch.zeros(3, 20)
    z[:, 2:18] = x**2
    z[0] = z[0] * 2
    return z


def written_in_turns(x):
    z = x * 1
    z[:, 1:].mul_(2)
    z[1] += 1
    torch.diagonal(z[:, :3]).mul_(3)
    return z**2


OPS = {
    "rfft": lambda x: torch.fft.rfft(x).abs(),
    "rfft2": lambda x: torch.fft.rfft2(x).abs(),
    "irfft": lambda x: torch.fft.irfft(2 * torch.fft.rfft(x)),
    "stft": lambda x: torch.stft(x, 8, window=torch.hann_window(8), return_complex=True).abs(),
    "parts of a spectrum": lambda x: torch.view_as_real(torch.fft.rfft(x)).pow(2).sum(-1),
    "qr": lambda x: torch.linalg.qr(x.T)[1].diagonal().abs().log(),
    "cholesky": lambda x: torch.linalg.cholesky(x @ x.T),
    "logdet": lambda x: torch.logdet(x @ x.T),
    "cumprod": lambda x: torch.cumprod(x, 1),
    "unfold": lambda x: x.unfold(1, 4, 2),
    "kthvalue": lambda x: x.kthvalue(3, 1).values,
    "scatter_add": lambda x: torch.zeros(3, 4).scatter_add(1, torch.arange(16).remainder(4).expand(3, 16), x),
    "pool": lambda x: F.adaptive_avg_pool1d(x[:, None], 5),
    "interpolate": lambda x: F.interpolate(x[:, None], scale_factor=2.0, mode="linear"),
    "pdist": F.pdist,
    "in place": written_in_place,
    "in turns": written_in_turns,
}


@pytest.mark.parametrize("name", OPS)
def test_the_derived_gradient_is_autograds(name):
    def loss(x, y):
        return (OPS[name](x) ** 2).sum() + (x * y).sum()

    tensors = {"x": X, "y": Y}
    graph = capture(
        Target(name, loss, name, None, (), "function", target_names=("y",)), Batch(kwargs=tensors, whole=tensors)
    )
    joint = joint_graph(graph, (0,))
    with torch.no_grad():
        _, found = joint.module(X)
    x = X.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(loss(x, Y), x)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
