"""One table: the ATen name of an op and its exact form."""

from __future__ import annotations

import functools
from typing import Any

import torch

from nllcheck.exact import forms, linalg, losses, places, reduce, sequences, special, spectrum, windows
from nllcheck.exact.ball import Ball, ball_of, unary

UNARY = {**forms.UNARY, **special.UNARY}


def one(name: str, x: Any) -> Ball:
    """An elementwise function of one argument."""
    return unary(ball_of(x), *UNARY[name])


FORMS: dict[str, Any] = {
    "add": forms.add, "sub": forms.sub, "mul": forms.mul, "div": forms.div, "pow": forms.power,
    "abs": spectrum.absolute, "relu": forms.relu, "maximum": forms.maximum, "fmax": forms.maximum,
    "minimum": forms.minimum, "fmin": forms.minimum, "clamp": forms.clamp, "clamp_min": forms.clamp,
    "logaddexp": forms.logaddexp, "xlogy": forms.xlogy, "special_xlogy": forms.xlogy,
    "clamp_max": lambda x, high: forms.clamp(x, None, high),
    "rsub": lambda x, y, alpha=1: forms.sub(y, x, alpha),
    "sum": reduce.total, "mean": reduce.mean, "logsumexp": reduce.logsumexp, "cumsum": reduce.cumsum,
    "prod": reduce.prod, "amax": reduce.largest, "amin": reduce.smallest,
    "max": lambda x, *a: reduce.chosen(x, reduce.largest, forms.maximum, *a),
    "min": lambda x, *a: reduce.chosen(x, reduce.smallest, forms.minimum, *a),
    "sort": lambda x, *a, **k: reduce.ordered(x, k.get("dim", a[-2] if len(a) > 1 else a[0] if a else -1),
                                              k.get("descending", a[-1] if len(a) > 1 else False)),
    "topk": reduce.topmost,
    "argmax": lambda x, *a, **k: reduce.place_of(x, True, *a, **k),
    "argmin": lambda x, *a, **k: reduce.place_of(x, False, *a, **k),
    "_softmax": reduce.softmax, "_log_softmax": reduce.log_softmax, "linalg_vector_norm": reduce.vector_norm,
    "var": reduce.variance, "std": reduce.deviation, "mm": reduce.matmul, "bmm": reduce.matmul, "mv": reduce.matmul,
    "dot": reduce.matmul, "addmm": reduce.addmm, "baddbmm": reduce.addmm,
    "nll_loss_forward": lambda *a: (losses.nll_loss(*a), None),
    "binary_cross_entropy": losses.binary_cross_entropy, "mse_loss": losses.mse_loss,
    "huber_loss": losses.huber_loss,
    "log_sigmoid_forward": lambda x: (one("logsigmoid", x), one("exp", forms.mul(forms.absolute(x), -1.0))),
    "softplus": lambda x, beta=1, threshold=20: forms.div(one("softplus", forms.mul(x, beta)), beta),
    "exp2": lambda x: one("exp2", x), "logcumsumexp": special.logcumsumexp, "_logcumsumexp": special.logcumsumexp,
    "cumprod": special.cumprod, "polygamma": special.polygamma, "mvlgamma": special.mvlgamma, "atan2": special.atan2,
    "leaky_relu": special.leaky_relu, "elu": special.elu, "gelu": special.gelu, "hardtanh": special.hardtanh,
    "smooth_l1_loss": losses.smooth_l1, "soft_margin_loss": losses.soft_margin, "median": special.median,
    "native_layer_norm": special.layer_norm, "norm": reduce.vector_norm,
    "_cdist_forward": reduce.distances, "scatter_add": places.scatter_add, "hypot": special.hypot,
    "addcmul": lambda x, a, b, value=1: forms.add(x, forms.mul(a, b), value),
    "addcdiv": lambda x, a, b, value=1: forms.add(x, forms.div(a, b), value),
    "lerp": lambda x, y, w: forms.add(x, forms.mul(forms.sub(y, x), w)),
    "special_entr": lambda x: forms.mul(forms.xlogy(x, x), -1.0),
    "special_xlog1py": lambda x, y: forms.mul(x, one("log1p", y)),
    "nll_loss2d_forward": lambda *a: (losses.nll_loss(*a), None),
    "linalg_cholesky_ex": lambda x, **k: (linalg.cholesky(x, k.get("upper", False)), torch.zeros(())),
    "linalg_solve_triangular": linalg.solve_triangular,
    "_linalg_solve_ex": lambda a, b, **_: (linalg.solve(a, b), None, None, None),
    "linalg_inv_ex": lambda a, **_: (linalg.inverse(a), None),
    "_linalg_slogdet": lambda a: (*linalg.slogdet(a), None, None),
    "linalg_cross": lambda a, b, dim=-1, **_: linalg.cross(a, b, dim),
    "index_add": places.index_add, "scatter_reduce": places.scatter_reduce, "kthvalue": places.kthvalue,
    "cummax": lambda x, dim: places.running(x, dim, forms.maximum),
    "cummin": lambda x, dim: places.running(x, dim, forms.minimum),
    "remainder": lambda x, y: places.rest(x, y, True), "fmod": lambda x, y: places.rest(x, y, False),
    "trunc": places.trunc, "convolution": windows.convolution,
    **{name: functools.partial(windows.average, getattr(torch.ops.aten, name).default)
       for name in ("avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d")},
    "_ctc_loss": sequences.ctc, "multilabel_margin_loss_forward": losses.multilabel_margin,
    "isfinite": lambda x: torch.as_tensor(forms.is_finite(x).astype(bool)),
    "isinf": lambda x: torch.as_tensor(~forms.is_finite(x).astype(bool)),
    "isnan": lambda x: torch.zeros_like(torch.as_tensor(forms.is_finite(x).astype(bool))),
    "_fft_r2c": spectrum.of_real, "_fft_c2r": spectrum.to_real, "_fft_c2c": spectrum.transform,
    "view_as_real": spectrum.as_pairs, "view_as_complex": spectrum.of_pairs, "complex": spectrum.joined,
    "polar": lambda r, a: spectrum.joined(forms.mul(r, one("cos", a)), forms.mul(r, one("sin", a))),
    "real": spectrum.real, "imag": spectrum.imag, "angle": spectrum.angle,
    "_conj": spectrum.conjugate, "conj_physical": spectrum.conjugate, "_conj_physical": spectrum.conjugate,
    "_linalg_det": lambda a: (linalg.det(a), None, None),
}  # fmt: skip
