"""How long the density test takes: targets tried a second, and seconds a check, for supports of every kind.

    python benchmarks/density.py [--device cuda] [--markdown FILE]

One batch of 256 samples each, in float64. The test runs on torch's default device: the CPU, unless `--device` says
otherwise. A target tried is one evaluation of one sample's loss at one target.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from torch import distributions as D

from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.density import density
from nllcheck.density.samples.sample import Samples
from nllcheck.target import Batch, Target

N = 256


def gaussian(mu: torch.Tensor, raw: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (0.5 * ((y - mu) / torch.exp(raw)) ** 2 + raw + 0.5 * math.log(2 * math.pi)).mean()


def student(mu: torch.Tensor, raw: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return -D.StudentT(3.0, mu, torch.exp(raw)).log_prob(y).mean()


def poisson(raw: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (torch.exp(raw) - y * raw + torch.lgamma(y + 1)).mean()


def categorical(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits, y)


def dirichlet(raw: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return -D.Dirichlet(torch.exp(raw)).log_prob(y).mean()


def plane(mu: torch.Tensor, raw: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    z = (y - mu) * torch.exp(-raw[:, :2])
    rho = torch.tanh(raw[:, 2])
    quad = ((z**2).sum(-1) - 2 * rho * z[:, 0] * z[:, 1]) / (2 * (1 - rho**2))
    return (quad + raw[:, :2].sum(-1) + 0.5 * torch.log(1 - rho**2) + math.log(2 * math.pi)).mean()


def cases() -> list[tuple[str, object, dict[str, torch.Tensor]]]:
    torch.manual_seed(0)
    mu, raw, many = torch.randn(N), 0.5 * torch.randn(N), 0.5 * torch.randn(N, 6)
    return [
        ("real, Gaussian", gaussian, {"mu": mu, "raw": raw, "y": mu + torch.randn(N)}),
        ("real, Student t", student, {"mu": mu, "raw": raw, "y": mu + torch.randn(N)}),
        ("count, Poisson", poisson, {"raw": raw, "y": torch.poisson(torch.exp(raw))}),
        ("1000 classes", categorical, {"logits": torch.randn(N, 1000), "y": torch.arange(N)}),
        ("plane, Gaussian", plane, {"mu": torch.randn(N, 2), "raw": many[:, :3], "y": torch.randn(N, 2)}),
        ("simplex of 3", dirichlet, {"raw": many[:, :3], "y": torch.softmax(torch.randn(N, 3), -1)}),
        ("simplex of 6", dirichlet, {"raw": many, "y": torch.softmax(torch.randn(N, 6), -1)}),
    ]


def measured(fn, tensors: dict[str, torch.Tensor]) -> tuple[str, float, int]:  # type: ignore[no-untyped-def]
    """(answer, seconds, targets tried) of the second run: the first warms torch up."""
    batch = Batch(kwargs=dict(tensors), whole=dict(tensors))
    graph = capture(Target(fn.__name__, fn, fn.__name__, None, (batch,), "function", target_names=("y",)), batch)
    axes = default_axes(graph)[0]
    density(graph, axes, fn.__name__)
    tried = []
    plain = Samples.losses

    def counting(self: Samples, target: torch.Tensor, *rest: object) -> torch.Tensor:
        tried.append(target.shape[0] * target.shape[1] * self.count)
        return plain(self, target, *rest)  # type: ignore[arg-type]

    Samples.losses = counting  # type: ignore[method-assign]
    start = time.perf_counter()
    answer = density(graph, axes, fn.__name__)
    if torch.get_default_device().type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    Samples.losses = plain  # type: ignore[method-assign]
    return answer.name, seconds, sum(tried)


def _name_of(device: str) -> str:
    return f"{torch.get_num_threads()} threads" if device == "cpu" else torch.cuda.get_device_name(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    rows = ["| target | answer | seconds | targets tried | a second |", "|---|---|---|---|---|"]
    for name, fn, tensors in cases():
        with torch.device(args.device):
            answer, seconds, tried = measured(fn, {k: v.to(args.device) for k, v in tensors.items()})
        rows.append(f"| {name} | {answer} | {seconds:.2f} | {tried:,} | {tried / seconds:.2g} |")
    text = f"{N} samples, {_name_of(args.device)}, torch {torch.__version__}\n\n" + "\n".join(rows)
    print(text)
    if args.markdown:
        args.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
