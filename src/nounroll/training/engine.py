"""The only file that knows Lightning Fabric: devices, precision, processes, gradients."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from nounroll.batch import Batch
from nounroll.methods.base import Method
from nounroll.training.settings import TrainingSettings


class Engine:
    """Runs a method's loss and its optimiser on whatever device there is.

    Args:
        settings: of the loop.
        modules: the student and, where there is one, the teacher; their gradients are clipped apart.
    """

    def __init__(self, settings: TrainingSettings, modules: dict[str, nn.Module]) -> None:
        from lightning_fabric import Fabric  # 1.6 s: only when a run starts
        from lightning_fabric.plugins import MixedPrecision

        class Autocast(MixedPrecision):
            def convert_input(self, data: Any) -> Any:
                return data  # Fabric's own rounds real inputs and targets to 16 bits

        accelerator = best_device() if settings.device == "auto" else settings.device
        if accelerator not in devices():
            raise ValueError(f"training.device is {accelerator!r}; this machine has {', '.join(devices())}")
        precision = settings.precision
        if precision == "auto":
            precision = "bf16-mixed" if accelerator == "cuda" else "32-true"
        plugins: Any = [Autocast(precision, accelerator)] if precision == "bf16-mixed" else []
        self.settings = settings
        self.fabric: Fabric = Fabric(accelerator=accelerator, devices=1, plugins=plugins)
        self.fabric.launch()
        torch.set_flush_denormal(True)
        self.device = self.fabric.device
        self.groups = {name: list(module.to(self.device).parameters()) for name, module in modules.items()}
        self.optimizer: Any = self.fabric.setup_optimizers(
            torch.optim.AdamW(
                [{"params": parameters} for parameters in self.groups.values()],
                lr=settings.learning_rate,
                betas=settings.betas,
                weight_decay=settings.weight_decay,
                fused=accelerator in ("cpu", "cuda"),
            )
        )

    def prepare(self, method: Method) -> Any:
        """The method as the loop calls it: on the device, in the precision of the run."""
        method.to(self.device)
        return self.fabric.setup_module(method, _reapply_compile=self.settings.compile)

    def step(
        self, method: Any, batch: Batch, generators: Iterable[torch.Generator], progress: float, rate: float
    ) -> dict[str, float] | None:
        """One optimiser step.

        Returns:
            The losses and gradient norms; None when one of them was not finite. Then nothing has changed.
        """
        batch = batch.to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        parts = self.settings.accumulate
        rows = max(1, batch.batch_size // parts)
        sums: dict[str, Tensor] = {}
        for index, generator in zip(range(parts), generators, strict=False):
            with self.fabric.no_backward_sync(method, enabled=index + 1 < parts):
                losses = method(batch.rows(index * rows, (index + 1) * rows), generator, progress)
                self.fabric.backward(losses["loss"] / parts)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.detach() / parts  # type: ignore[operator]
        for name, parameters in self.groups.items():
            with_gradient = [p for p in parameters if p.grad is not None]
            if with_gradient:
                sums[f"{name}_gradient_norm"] = nn.utils.clip_grad_norm_(with_gradient, self.settings.clip)
        values = dict(zip(sums, torch.stack([v.float() for v in sums.values()]).tolist(), strict=True))
        if not all(v == v and abs(v) != float("inf") for v in values.values()):
            return None
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * rate
        self.optimizer.step()
        return values

    def is_finite(self) -> bool:
        """Whether all weights are."""
        return all(bool(torch.isfinite(p).all()) for parameters in self.groups.values() for p in parameters)


def devices() -> list[str]:
    """What this machine has, the fastest last."""
    found = {"cpu": True, "mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available()}
    return [name for name, there in found.items() if there]


def best_device() -> str:
    """cuda, else mps, else cpu."""
    return devices()[-1]
