"""Surfaces, meshes, atoms and cameras: losses of these fields with a defect, and as they are repaired."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, fill, given, modelled, normal, scale, sound, unit

SURFACE = "opacity of a neural surface (Wang et al., NeuS, 2021, eq. 13); github.com/Totoro97/NeuS"
SPLATS = "Gaussian splats in the plane (Kerbl et al. 2023): inverse of a projected covariance"
MESH = "cotangent Laplacian (Meyer et al. 2003) of a trained mesh; github.com/facebookresearch/pytorch3d"
ATOMS = "Lennard-Jones energies and forces by autograd; github.com/torchmd/torchmd"
INCEPTION = "distance of two normals (Heusel et al. 2017), the root of covariances by eigenvalues"
SPHERE = "spherical Cauchy density (Kato & McCullagh 2020; github.com/lukassablica/circlus), rho a sigmoid"
TRACKER = "extended Kalman filter of range and bearing, trained through its steps"
PINHOLE = "reprojection error of points before a camera (Zhou et al. 2017); github.com/ClementPinard/SfmLearner-Pytorch"


class Surface(nn.Module):
    """Signed distances along rays, and how sharp the surface is."""

    least = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.sdf = nn.Sequential(nn.Linear(3, 12), nn.Softplus(), nn.Linear(12, 1))
        self.colour, self.sharp = nn.Linear(3, 3), nn.Parameter(torch.tensor(0.1))

    def forward(self, points):
        cdf = torch.sigmoid(self.sdf(points)[..., 0] * torch.exp((10 * self.sharp).clamp(-4, 9)))
        alpha = ((cdf[:, :-1] - cdf[:, 1:] + self.least) / (cdf[:, :-1] + self.least)).clamp(0, 1)  # <- here
        through = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha + 1e-4], 1), 1)[:, :-1]
        return ((alpha * through)[..., None] * torch.sigmoid(self.colour(points[:, :-1]))).sum(1)


class SurfaceHeld(Surface):
    least = 1e-4


def coloured(pred, image):
    return (pred - image).abs().mean()


class Splats(nn.Module):
    blur = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.centre, self.log_scale = nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.zeros(3, 2))
        self.turn, self.light = nn.Parameter(torch.randn(3)), nn.Parameter(torch.ones(3))

    def forward(self, pixel):
        c, s = torch.cos(self.turn), torch.sin(self.turn)
        (a, b), low = torch.exp(2 * self.log_scale.clamp(max=4.0)).unbind(1), self.blur
        xx, yy, xy = c**2 * a + s**2 * b + low, s**2 * a + c**2 * b + low, c * s * (a - b)
        det = xx * yy - xy**2
        d = pixel[:, None] - self.centre
        power = (yy * d[..., 0] ** 2 + xx * d[..., 1] ** 2 - 2 * xy * d[..., 0] * d[..., 1]) / det  # <- here
        return torch.exp(-0.5 * power) @ torch.sigmoid(self.light)


class SplatsBlurred(Splats):
    blur = 0.3


def lit(pred, pixel_value):
    return F.mse_loss(pred, pixel_value)


FACES = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])


def smooth_surface(vertices, goal, guard=0.0):
    a, b, c = vertices[FACES].unbind(1)
    total = 0.0
    for p, q, r in ((a, b, c), (b, c, a), (c, a, b)):
        u, v = q - p, r - p
        area = torch.sqrt((torch.linalg.cross(u, v) ** 2).sum(1) + guard)
        total = total + ((u * v).sum(1) / area * ((q - r) ** 2).sum(1)).sum()  # <- here
    return 0.01 * total + ((vertices - goal) ** 2).sum()


def smooth_surface_guarded(vertices, goal):
    return smooth_surface(vertices, goal, 1e-4)


class Atoms(nn.Module):
    """Well depth and radius; forces are minus the slope of the energy."""

    nearest = None

    def __init__(self) -> None:
        super().__init__()
        self.depth, self.radius = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.tensor(0.6))

    def energy(self, place):
        i, j = torch.triu_indices(4, 4, 1)
        square = ((place[:, i] - place[:, j]) ** 2).sum(2)
        square = square if self.nearest is None else square.clamp(min=self.nearest)
        six = (self.radius**2 / square) ** 3  # <- here
        return (4 * F.softplus(self.depth) * (six**2 - six)).sum(1)


class AtomsApart(Atoms):
    nearest = 0.1


def forces(model, batch):
    place, truth = batch
    place = place.detach().requires_grad_()
    (slope,) = torch.autograd.grad(model.energy(place).sum(), place, create_graph=True)
    return F.huber_loss(-slope, truth)


class Features(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(5, 3)

    def moments(self, x):
        z = self.net(x)
        d = z - z.mean(0)
        return z.mean(0), d.T @ d / len(x)


def frechet(model, batch, least=None):
    (m, a), (n, b) = model.moments(batch[0]), model.moments(batch[1].detach())
    root = torch.linalg.cholesky(b + 1e-3 * torch.eye(3))
    shares = torch.linalg.eigvalsh(root.T @ a @ root)
    cross = torch.sqrt(shares if least is None else shares.clamp(min=least)).sum()  # <- here
    return ((m - n) ** 2).sum() + a.trace() + b.trace() - 2 * cross


def frechet_held(model, batch):
    return frechet(model, batch, 1e-5)


def spherical_cauchy(direction, raw, seen):
    cosine = (F.normalize(direction, dim=1, eps=1e-3) * seen).sum(1)
    rho = torch.sigmoid(raw)
    return -2 * (torch.log(1 - rho**2) - torch.log(1 + rho**2 - 2 * rho * cosine)).mean()  # <- here


def spherical_cauchy_held(direction, raw, seen):
    cosine = (F.normalize(direction, dim=1, eps=1e-3) * seen).sum(1)
    rho = 0.9 * torch.sigmoid(raw)
    return -2 * (torch.log(1 - rho**2) - torch.log(1 + rho**2 - 2 * rho * cosine)).mean()


def tracked(place, noise, seen, floor=None):
    """Range and bearing from the origin of each of four steps, folded into mean and variance."""
    one = torch.eye(2).to(place)
    mean, p, total, r = place, one, 0.0, (F.softplus(noise) + 0.1) * one
    for k in range(4):
        d2 = (mean**2).sum() + (floor or 0.0)
        d = torch.sqrt(d2)
        h = torch.stack([mean / d, torch.stack([-mean[1], mean[0]]) / d2])  # <- here
        ahead = mean[0] if floor is None else mean[0].clamp(min=floor)
        v = seen[k] - torch.stack([d, torch.atan2(mean[1], ahead)])
        s = h @ p @ h.T + r
        gain = torch.linalg.solve(s, h @ p).T
        total = total + 0.5 * (v @ torch.linalg.solve(s, v) + torch.logdet(s))
        mean, p = mean + gain @ v, p - gain @ h @ p + 0.01 * one
    return total


def tracked_floored(place, noise, seen):
    return tracked(place, noise, seen, 1e-2)


class Depths(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ELU(), nn.Linear(8, 3))
        nn.init.zeros_(self.net[2].bias)
        with torch.no_grad():
            self.net[2].bias[2] = 2.5

    def forward(self, x):
        return self.net(x)


def reprojected(place, pixel):
    return (place[:, :2] / place[:, 2:] - pixel).abs().mean()  # <- here


def reprojected_before(place, pixel):
    return (place[:, :2] / (F.softplus(place[:, 2:]) + 0.05) - pixel).abs().mean()


def lattice(g):
    corners = torch.tensor([[0.0, 0, 0], [1.2, 0, 0], [0, 1.2, 0], [0, 0, 1.2]])
    return corners + 0.1 * torch.randn(5, 4, 3, generator=g)


def along(g):
    start, steps = torch.randn(6, 1, 3, generator=g), torch.arange(6.0)[None, :, None] * 0.2
    return start + steps * F.normalize(torch.randn(6, 1, 3, generator=g), dim=2)


def directions(g):
    return F.normalize(torch.randn(8, 3, generator=g), dim=1)


def ranges(g):
    return torch.tensor([2.8, 0.8]) + 0.1 * torch.randn(4, 2, generator=g)


def _thin(state):
    state["vertices"][2] = state["vertices"][1]


def _touching(state):
    state["inputs"][0, 1] = state["inputs"][0, 0] + 1e-7


RAYS = along, unit(6, 3)
PIXELS = normal(8, 2), unit(8)
SHEET = given(vertices=lambda g: lattice(g)[0], goal=lambda g: lattice(g)[0] + 0.05, target="goal")
PULLED = lattice, normal(5, 4, 3)
SETS = modelled(Features, normal(12, 5), normal(12, 5))
POINTS = given(direction=normal(8, 3), raw=normal(8), seen=directions, target="seen")
TRACK = given(place=normal(2, shift=2.0), noise=normal(), seen=ranges, target="seen")
SCENE = modelled(Depths, normal(6, 4), normal(6, 2, scale=0.3))


CASES = (
    bug(coloured, modelled(Surface, *RAYS), "div", SURFACE, fill({"sdf.2.bias": -120.0}), where=(Surface.forward,)),
    sound(coloured, modelled(SurfaceHeld, *RAYS), SURFACE),
    bug(lit, modelled(Splats, *PIXELS), "div", SPLATS, fill(log_scale=-60.0), verdict="limit defect",
        where=(Splats.forward,)),
    sound(lit, modelled(SplatsBlurred, *PIXELS), SPLATS, fill(log_scale=-60.0)),
    bug(smooth_surface, SHEET, "div sqrt", MESH, _thin, verdict="limit defect"),
    sound(smooth_surface_guarded, SHEET, MESH, _thin),
    bug(forces, modelled(Atoms, *PULLED), "div pow", ATOMS, _touching, verdict="limit defect", where=(Atoms.energy,)),
    sound(forces, modelled(AtomsApart, *PULLED), ATOMS, _touching),
    bug(frechet, SETS, "sqrt", INCEPTION, scale({"net.weight": 0.0}), verdict="limit defect", phase="forward backward"),
    sound(frechet_held, SETS, INCEPTION, scale({"net.weight": 0.0})),
    bug(spherical_cauchy, POINTS, "log", SPHERE, fill(raw=20.0)),
    sound(spherical_cauchy_held, POINTS, SPHERE, fill(raw=20.0)),
    bug(tracked, TRACK, "div atan2 sqrt", TRACKER, fill(place=0.0), verdict="limit defect"),
    sound(tracked_floored, TRACK, TRACKER, fill(place=0.0)),
    bug(reprojected, SCENE, "div", PINHOLE, fill({"net.2.weight": 0.0, "net.2.bias": 0.0}), verdict="limit"),
    sound(reprojected_before, SCENE, PINHOLE, fill({"net.2.weight": 0.0, "net.2.bias": 0.0})),
)  # fmt: skip
