"""The guard as a callback of PyTorch Lightning and of Hugging Face's `Trainer`.

    from nllcheck import callbacks
    trainer = lightning.Trainer(callbacks=[callbacks.lightning("dump")])
    trainer = transformers.Trainer(..., callbacks=[callbacks.transformers("dump")])

Neither library is needed to import this file; the callback's base class is taken from whichever is installed.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from nllcheck.guard import Guard, model_loss, training_step


def lightning(folder: str | Path, **options: Any) -> Any:
    """A Lightning callback. `options` as for `Guard`, without `model` and `loss`: these are the trained module's."""
    base = _base("Callback", "lightning.pytorch", "pytorch_lightning")
    return type("NllcheckGuard", (_Lightning, base), {})(folder, options)


def transformers(folder: str | Path, **options: Any) -> Any:
    """A `Trainer` callback. `options` as for `Guard`, without `model` and `loss`: the loss is the model's own."""
    base = _base("TrainerCallback", "transformers")
    return type("NllcheckGuard", (_Transformers, base), {})(folder, options)


def _base(name: str, *modules: str) -> type:
    for module in modules:
        try:
            found: type = getattr(import_module(module), name)
        except (ImportError, AttributeError):
            continue
        return found
    return object


def _of_lightning(plugin: Any) -> dict[str, Any]:
    """What a trainer's precision plugin says of mixed precision."""
    halves = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}
    return {"autocast": halves.get(getattr(plugin, "precision", "")), "scaler": getattr(plugin, "scaler", None)}


class _Lightning:
    """Keeps the batch and the loss of the step; looks before the optimizer moves."""

    def __init__(self, folder: str | Path, options: dict[str, Any]) -> None:
        super().__init__()
        self.folder, self.options = folder, options
        self.guard: Guard | None = None
        self.batch: Any = None
        self.value: Any = 0.0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int, *_: Any) -> None:
        self.batch = batch

    def on_before_backward(self, trainer: Any, module: Any, loss: Any) -> None:
        self.value = loss.detach()

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any, *_: Any) -> None:
        if self.guard is None:
            own = _of_lightning(getattr(trainer, "precision_plugin", None))
            self.guard = Guard(self.folder, model=module, loss=training_step, **own | self.options)
        if self.guard(self.value, batch=self.batch, step=int(trainer.global_step)):
            trainer.should_stop = True


class _Transformers:
    """Keeps what the model was called with, by a hook, since `Trainer` shows its callbacks no batch."""

    def __init__(self, folder: str | Path, options: dict[str, Any]) -> None:
        super().__init__()
        self.folder, self.options = folder, options
        self.guard: Guard | None = None
        self.batch: Any = None
        self.value: Any = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        halves = {"fp16": torch.float16, "bf16": torch.bfloat16}
        own = {"autocast": next((dtype for name, dtype in halves.items() if getattr(args, name, False)), None)}
        self.guard = Guard(self.folder, model=model, loss=model_loss, **own | self.options)
        model.register_forward_hook(self._seen, with_kwargs=True)

    def _seen(self, model: Any, args: Any, kwargs: Any, output: Any) -> None:
        found = output.get("loss") if isinstance(output, dict) else getattr(output, "loss", None)
        if found is not None:
            self.batch, self.value = dict(kwargs), found.detach()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any) -> None:
        if self.guard and self.guard.scaler is None:
            self.guard.scaler = getattr(optimizer, "scaler", None)  # accelerate's optimizer holds it
        if self.guard and self.guard(self.value, batch=self.batch, step=int(state.global_step)):
            control.should_training_stop = True
