"""A look at every training step that costs next to nothing, and a bundle of the first step that goes wrong.

    guard = nllcheck.Guard("dump", model=model, loss=nll)
    for step, (inputs, targets) in enumerate(loader):
        value = nll(model(inputs), targets)
        value.backward()
        if guard(value, batch=(inputs, targets), step=step):
            break  # the bundle is written: nllcheck run dump
        optimizer.step()

Call it after `backward` and before the optimizer's step: after that the weights that did it are gone. It reads the
loss and the norm of all gradients, one number each; on a GPU that waits for the step, as clipping gradients does.

With mixed precision, `Guard(..., autocast=torch.float16, scaler=scaler)`: call it with the unscaled `value` between
`scaler.scale(value).backward()` and `scaler.step(optimizer)`. A gradient that overflows while the scaler still searches
for its scale is written down once, and does not count as gone wrong.
"""

from __future__ import annotations

import base64
import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from nllcheck.autocast import HALVES, MixedStep
from nllcheck.errors import NllcheckError
from nllcheck.save import save


class Guard:
    """Watches the loss and the gradients of a training loop.

    Args:
        folder: where the bundle goes; made when it is needed.
        model: the module that is trained.
        loss: as for `nllcheck.save`: an importable function, or its 'module:name'.
        below: a loss under this value counts as gone wrong too (an NLL that falls without end).
        gradients: look at the gradients, too.
        factory, kwargs: what builds the model, as for `nllcheck.save`.
        autocast: the dtype of autocast, torch.float16 or torch.bfloat16, where the loop uses it.
        scaler: the loop's `torch.amp.GradScaler`; with one, `autocast` is float16 unless said otherwise.
    """

    def __init__(
        self,
        folder: str | Path,
        model: torch.nn.Module,
        loss: Any,
        *,
        below: float | None = None,
        gradients: bool = True,
        factory: str | Callable[..., torch.nn.Module] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        autocast: torch.dtype | None = None,
        scaler: Any = None,
    ) -> None:
        self.folder, self.model, self.loss = Path(folder), model, loss
        self.below, self.gradients = below, gradients
        self.factory, self.kwargs = factory, kwargs
        self.autocast, self.scaler = autocast, scaler if scaler is not None and scaler.is_enabled() else None
        self.written: Path | None = None
        self.searched: Path | None = None  # a step that the gradient scaler skipped

    def __call__(self, value: torch.Tensor | float, batch: Any, step: int = 0, term: str = "loss") -> bool:
        """True if this step went wrong; the first that does is written down.

        `value` is the scalar loss, `batch` what was trained on, `term` a name for the part of the loss it is.
        """
        number = float(value.detach() if isinstance(value, torch.Tensor) else value)
        what = self._wrong(number)
        if what and self._is_search(number):
            self.searched = self.searched or self._write(what, batch, step, term, number)
            return False
        if what and self.written is None:
            self.written = self._write(what, batch, step, term, number)
        return bool(what)

    def _is_search(self, value: float) -> bool:
        """Only the gradients overflow, and the scaler has not come down to 1: it skips this step and tries a half."""
        return math.isfinite(value) and not self._falls(value) and self._scale() > 1

    def _falls(self, value: float) -> bool:
        return self.below is not None and value < self.below

    def _scale(self) -> float:
        return float(self.scaler.get_scale()) if self.scaler is not None else 1.0

    def _mixed(self) -> MixedStep | None:
        dtype = self.autocast or (torch.float16 if self.scaler is not None else None)
        device = next((p.device.type for p in self.model.parameters()), "cpu")
        name = str(dtype).removeprefix("torch.")
        return MixedStep(name, self._scale(), "cpu" if device == "cpu" else "cuda") if name in HALVES else None

    def _wrong(self, value: float) -> str:
        if not math.isfinite(value):
            return f"the loss is {value}"
        if self._falls(value):
            return f"the loss is {value:g}, below {self.below:g}"
        norm = self._norm() if self.gradients else 0.0
        return "" if math.isfinite(norm) else f"the norm of the gradients is {norm}"

    def _norm(self) -> float:
        """The Euclidean norm of all gradients, in one pass; it can be infinite where each of them is finite."""
        grads = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(grads)) if grads else 0.0
        if math.isfinite(norm):
            return norm
        return 0.0 if all(bool(torch.isfinite(grad).all()) for grad in grads) else norm

    def _write(self, what: str, batch: Any, step: int, term: str, value: float) -> Path:
        meta: dict[str, Any] = {"step": step, "term": term, "what": what, "loss_value": str(value), "rng": rng_state()}
        path = self.folder / f"nllcheck-step-{step}.pt"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            said = f"To see why: {self._saved(path, batch, meta)}"
        except Exception as error:  # a full disk, a batch that cannot be pickled: never the end of the training
            said = f"Nothing could be written to {self.folder}: {type(error).__name__}: {error}"
        warnings.warn(f"step {step}: {what}. {said}", stacklevel=3)
        return path

    def _saved(self, path: Path, batch: Any, meta: dict[str, Any]) -> str:
        """Write the bundle, or where there can be none its parts; the command that explains it."""
        try:
            save(path, model=self.model, loss=self.loss, batch=batch, factory=self.factory, kwargs=self.kwargs,
                 mixed=self._mixed(), **meta)  # fmt: skip
        except NllcheckError as error:
            return f"{self._parts(meta['step'], batch)}\n  (no bundle: {error.message})"
        return f"nllcheck run {path}{self._named()}"

    def _named(self) -> str:
        """A bundle chooses no code: its model and loss are confirmed on the command line."""
        model = self.factory if self.factory is not None else type(self.model)
        return "".join(f" --{option} {_spec(thing)}" for option, thing in (("model", model), ("loss", self.loss)))

    def _parts(self, step: int, batch: Any) -> str:
        """What cannot be a bundle: weights and batch as two files."""
        weights, data = self.folder / f"weights-step-{step}.pt", self.folder / f"batch-step-{step}.pt"
        torch.save(self.model.state_dict(), weights)
        torch.save(batch, data)
        return f"nllcheck run {weights} --batch {data} --model FILE.py:BUILD --loss FILE.py:LOSS"


def _spec(thing: Any) -> str:
    """As the command line takes it: by its file where that lies below the working directory, else by its module."""
    if isinstance(thing, str):
        return thing
    thing = thing if hasattr(thing, "__qualname__") else type(thing)
    path = getattr(sys.modules.get(thing.__module__), "__file__", None) or ""
    near = Path(path).resolve().is_relative_to(Path.cwd()) and "site-packages" not in path
    return f"{os.path.relpath(path) if path and near else thing.__module__}:{thing.__qualname__}"


def rng_state() -> str:
    """The state of torch's CPU generator, as base64 text: `torch.set_rng_state(torch.frombuffer(...))` restores it."""
    return base64.b64encode(torch.get_rng_state().numpy().tobytes()).decode()


def training_step(model: torch.nn.Module, batch: Any) -> Any:
    """The loss of a Lightning-like module, as `loss(model, batch)`."""
    return model.training_step(batch, 0)  # type: ignore[operator]


def model_loss(model: torch.nn.Module, batch: Any) -> Any:
    """The loss that a Hugging Face model returns by itself, as `loss(model, batch)`."""
    found = model(**batch)
    return found["loss"] if isinstance(found, Mapping) else found.loss
