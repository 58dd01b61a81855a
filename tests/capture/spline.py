"""A rational quadratic spline with linear tails (Durkan et al., arXiv:1906.04032, section 3.1), by masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def knots(raw, left, right, least=1e-3):
    """Where bins begin and end, (N, bins + 1), and how wide they are, (N, bins)."""
    share = least + (1 - least * raw.shape[-1]) * torch.softmax(raw, dim=-1)
    places = (right - left) * F.pad(torch.cumsum(share, dim=-1), (1, 0), value=0.0) + left
    places[..., 0] = left
    places[..., -1] = right
    return places, places[..., 1:] - places[..., :-1]


def inner(x, widths, heights, slopes, bound):
    if torch.min(x) < -bound or torch.max(x) > bound:
        raise ValueError("outside of the spline's domain")
    xs, w = knots(widths, -bound, bound)
    ys, h = knots(heights, -bound, bound)
    d = 1e-3 + F.softplus(slopes)
    at = torch.sum(x[..., None] >= xs[..., 1:-1], dim=-1)[..., None]
    x0, w0, y0, h0 = (t.gather(-1, at)[..., 0] for t in (xs, w, ys, h))
    d0, d1 = d.gather(-1, at)[..., 0], d[..., 1:].gather(-1, at)[..., 0]
    slope, theta = h0 / w0, (x - x0) / w0
    mixed = theta * (1 - theta)
    below = slope + (d0 + d1 - 2 * slope) * mixed
    y = y0 + h0 * (slope * theta.pow(2) + d0 * mixed) / below
    rate = slope.pow(2) * (d1 * theta.pow(2) + 2 * slope * mixed + d0 * (1 - theta).pow(2))
    return y, torch.log(rate) - 2 * torch.log(below)


def spline(x, widths, heights, slopes, bound=1.5):
    """y and log |dy/dx|, both (N, D), of x (N, D) and the raw shapes (N, D, bins), slopes (N, D, bins - 1)."""
    inside = (x >= -bound) & (x <= bound)
    y, jacobian = torch.zeros_like(x), torch.zeros_like(x)
    slopes = F.pad(slopes, (1, 1))
    slopes[..., 0] = slopes[..., -1] = 0.54
    y[~inside] = x[~inside]
    jacobian[~inside] = 0
    if torch.any(inside):
        y[inside], jacobian[inside] = inner(x[inside], widths[inside, :], heights[inside, :], slopes[inside, :], bound)
    return y, jacobian


def spline_nll(x, widths, heights, slopes):
    y, jacobian = spline(x, widths, heights, slopes)
    return (0.5 * y.square() - jacobian).sum(-1).mean()
