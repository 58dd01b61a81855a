"""Ops of torch at ordinary values, each in a small loss: name -> (loss, tensors)."""

import torch
import torch.nn.functional as F
from losses_of_torch import lab, m


def ramp(*shape: int) -> torch.Tensor:
    """From -1 to 1."""
    return torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape)


def penalty(act, v: torch.Tensor) -> torch.Tensor:
    """The square of a slope, so that the program holds an op's backward."""
    return (torch.autograd.grad(act(v * ramp(4)).sum(), v, create_graph=True)[0] ** 2).sum()


ACTIVATIONS = {
    "tanh": torch.tanh, "relu": F.relu, "leaky_relu": F.leaky_relu, "sigmoid": torch.sigmoid, "softplus": F.softplus,
    "elu": F.elu, "silu": F.silu, "gelu": F.gelu, "logsigmoid": F.logsigmoid,
    "softmax": lambda v: v.softmax(-1)[:, 0], "log_softmax": lambda v: v.log_softmax(-1)[:, 0],
    "layer_norm": lambda v: F.layer_norm(v, (4,))[:, 0],
}  # fmt: skip
OPS = {
    # ops that torch itself makes simpler ones of
    "group_norm": (lambda v: F.group_norm(v, 2).pow(3).mean(), {"v": m}),
    "batch_norm": (lambda v: F.batch_norm(v * v, None, None, training=True).pow(3).mean(), {"v": m}),
    "instance_norm": (lambda v: F.instance_norm(v[None] ** 2).pow(3).mean(), {"v": m}),
    "prelu": (lambda v: F.prelu(v, torch.tensor(0.1)).exp().mean(), {"v": m}),
    "selu": (lambda v: F.selu(v).mean(), {"v": m}),
    "mish": (lambda v: F.mish(v).mean(), {"v": m}),
    "hardswish": (lambda v: F.hardswish(v).mean(), {"v": m}),
    "glu": (lambda v: F.glu(v).mean(), {"v": m}),
    "softshrink": (lambda v: F.softshrink(v).mean(), {"v": m}),
    "reflected": (lambda v: F.pad(v, (1, 1), mode="reflect").exp().mean(), {"v": m}),
    "pixels": (lambda v: F.pixel_shuffle(v.reshape(1, 24, 1, 1), 2).exp().mean(), {"v": m}),
    "attention": (lambda v: F.scaled_dot_product_attention(v[None], v[None], v[None]).exp().mean(), {"v": m}),
    "fold": (lambda v: F.fold(v.T.reshape(1, 4, 6)[..., :4], (3, 3), 2).exp().mean(), {"v": m}),
    "max_pool": (lambda v: F.max_pool2d(v[None], 2).exp().mean(), {"v": m}),
    "nearest": (lambda v: F.interpolate(v[None, None], scale_factor=2).exp().mean(), {"v": m}),
    "local_norm": (lambda v: F.local_response_norm(v[None], 2).mean(), {"v": m}),
    **{f"penalty of {name}": (lambda v, act=act: penalty(act, v), {"v": m}) for name, act in ACTIVATIONS.items()},
    # what adds to places, or picks by an order
    "index_add": (lambda v: torch.zeros(3, 4).index_add(0, lab % 3, v, alpha=2).exp().mean(), {"v": m}),
    "index_put": (lambda v: torch.zeros(3, 4).index_put((lab % 3,), v, accumulate=True).exp().mean(), {"v": m}),
    "fill": (lambda v: v.index_fill(0, lab[1:2], -float("inf")).logsumexp(0).mean(), {"v": m}),
    "put_in": (lambda v: v.scatter(1, lab[:, None], -float("inf")).logsumexp(1).mean(), {"v": m}),
    **{
        f"scatter_{how}": (
            lambda v, how=how: torch.ones(4).scatter_reduce(0, lab, v[:, 0], how).exp().mean(),
            {"v": m},
        )
        for how in ("sum", "mean", "prod", "amax", "amin")
    },
    "cummax": (lambda v: v.cummax(0).values.exp().mean(), {"v": m}),
    "cummin": (lambda v: v.cummin(0).values.exp().mean(), {"v": m}),
    "kthvalue": (lambda v: v.kthvalue(2, -1).values.exp().mean(), {"v": m}),
    "quantile": (lambda v: torch.quantile(v, 0.3).exp(), {"v": m}),
    "whole numbers": (lambda v: torch.where(v > 0, 2, v).exp().mean() + torch.where(v > 0, lab[1], v).sum(), {"v": m}),
    "joined to whole numbers": (lambda v: torch.cat([lab, v[:, 0]]).exp().mean(), {"v": m}),
    "fmod": (lambda v: torch.fmod(v, 1.0).exp().mean(), {"v": m}),
    "remainder": (lambda v: torch.remainder(v, 1.0).exp().mean(), {"v": m}),
    "trunc": (lambda v: (torch.trunc(v) + torch.frac(v).exp()).mean(), {"v": m}),
    "isnan": (lambda v: torch.where(torch.isnan(v) | torch.isinf(v), 0, v).exp().mean(), {"v": m}),
    "nansum": (lambda v: torch.nansum(v.exp()), {"v": m}),
    "nll_none": (
        lambda v: F.nll_loss(v.log_softmax(-1), lab.clone().index_fill(0, lab[2:3], -100), reduction="none").mean(),
        {"v": m},
    ),
    "nll2d_none": (
        lambda v: F.cross_entropy(v.reshape(2, 4, 3), lab.reshape(2, 3), ignore_index=1, reduction="none").mean(),
        {"v": m},
    ),
    "ctc_joined": (
        lambda v: F.ctc_loss(
            v[:, None].expand(-1, 2, -1).log_softmax(-1),
            torch.tensor([1, 1, 2, 3]),
            torch.tensor([6, 5]),
            torch.tensor([2, 2]),
            reduction="sum",
        ),
        {"v": m},
    ),
    "ndtri": (lambda v: torch.special.ndtri(v.sigmoid()).exp().mean(), {"v": m}),
    "i1e": (lambda v: torch.special.i1e(v).mean(), {"v": m}),
    # windows
    "conv": (lambda v: F.conv1d(v[None], ramp(3, 6, 2), torch.ones(3), stride=2, padding=1).exp().mean(), {"v": m}),
    "conv_grouped": (
        lambda v: F.conv2d(v.reshape(1, 4, 2, 3), ramp(4, 2, 2, 2), groups=2, padding=1, dilation=(1, 2)).exp().mean(),
        {"v": m},
    ),
    "conv_of_weights": (lambda v: F.conv2d(ramp(1, 1, 6, 6), v.reshape(2, 1, 3, 4)).exp().mean(), {"v": m}),
    "deconv": (
        lambda v: F.conv_transpose1d(v[None], ramp(6, 2, 3), stride=2, padding=1, output_padding=1).exp().mean(),
        {"v": m},
    ),
    "deconv_grouped": (
        lambda v: F.conv_transpose2d(v.reshape(1, 4, 2, 3), ramp(4, 3, 2, 2), groups=2, stride=(1, 2)).exp().mean(),
        {"v": m},
    ),
    "average": (
        lambda v: F.avg_pool2d(v[None], 2, 2, 1, ceil_mode=True, count_include_pad=False).exp().mean(),
        {"v": m},
    ),
    "average_of_places": (lambda v: F.adaptive_avg_pool1d(v[None], 3).exp().mean(), {"v": m}),
    # spectra
    "rfft": (lambda v: torch.fft.rfft(v).abs().log().mean(), {"v": m}),
    "rfft2": (lambda v: torch.fft.rfft2(v, norm="ortho").abs().log().mean(), {"v": m}),
    "irfft": (lambda v: torch.fft.irfft(torch.fft.rfft(v) * ramp(3)).exp().mean(), {"v": m}),
    "irfft_odd": (lambda v: torch.fft.irfft(torch.fft.rfft(v), n=5).exp().mean(), {"v": m}),
    "correlated": (lambda v: torch.fft.irfft(torch.fft.rfft(v) * torch.fft.rfft(v).conj()).exp().mean(), {"v": m}),
    "fft2": (lambda v: torch.fft.ifft2(torch.fft.fft2(v) * torch.fft.fft2(v)).real.exp().mean(), {"v": m}),
    "angle": (lambda v: torch.fft.fft(v).angle().sin().mean(), {"v": m}),
    "polar": (lambda v: (torch.polar(v.exp(), v) * torch.complex(v, -v)).abs().log().mean(), {"v": m}),
    "stft": (
        lambda v: torch.stft(v.reshape(-1), 8, 4, window=torch.hann_window(8), return_complex=True).abs().log1p().sum(),
        {"v": m},
    ),
}
