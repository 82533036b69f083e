"""Engine: devices, precision, processes and gradients; the only file that uses Lightning Fabric."""

import atexit
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from nounroll.core import processes
from nounroll.core.batch import Batch
from nounroll.core.machine import launched
from nounroll.methods.base import Method, State
from nounroll.training import sharding
from nounroll.training.accumulation import joined, parts_of, shares, weighted_means
from nounroll.training.devices import best_device, devices
from nounroll.training.settings import TrainingSettings

T = TypeVar("T")

_BETAS = (0.9, 0.95)  # AdamW's
_CLIP = 1.0  # largest gradient norm, for the teacher and for the student separately


class Engine:
    """Device, precision and optimiser of a run, in one process or in the processes of ``torchrun``.

    Every process has its own rows of a batch; together they take the same step as one process on the whole batch. Each
    process holds the whole model, or with ``training.shard`` a part of the weights, gradients and optimiser state.

    Args:
        settings: settings of the loop.
        modules: the student and, if there is one, the teacher; their gradients are clipped separately.
    """

    def __init__(self, settings: TrainingSettings, modules: dict[str, nn.Module]) -> None:
        from lightning_fabric import Fabric  # takes 1.6 s: import only for a run
        from lightning_fabric.plugins import MixedPrecision

        class Autocast(MixedPrecision):
            def convert_input(self, data: Any) -> Any:
                return data  # Fabric's own method rounds real inputs and targets to 16 bits

        accelerator = best_device() if settings.device == "auto" else settings.device
        if accelerator not in devices():
            raise ValueError(f"training.device is {accelerator!r}; this machine has {', '.join(devices())}")
        usual = "bf16-mixed" if accelerator == "cuda" else "32-true"
        precision = usual if settings.precision == "auto" else settings.precision
        plugins: Any = [Autocast(precision, accelerator)] if precision == "bf16-mixed" else []
        self.settings, self.updates = settings, 0  # updates: number of changes of any weight
        self.rank, self.processes = launched()
        if settings.batch_size % (settings.accumulate * self.processes):
            raise ValueError(
                f"training.batch_size is {settings.batch_size}; it must be a multiple of training.accumulate"
                f" {settings.accumulate} times the {self.processes} processes"
            )
        here = int(os.environ["LOCAL_WORLD_SIZE"]) if self.processes > 1 else 1
        self.sharded = settings.shard and self.processes > 1
        nodes, strategy = self.processes // here, self._strategy()
        self.fabric: Fabric = Fabric(
            accelerator=accelerator, devices=here, num_nodes=nodes, strategy=strategy, plugins=plugins
        )
        self.fabric.launch()
        if self.processes > 1:
            atexit.register(_leave)
        torch.set_flush_denormal(True)
        self.device = self.fabric.device
        whole = sharding.Gathering({name: module.to(self.device) for name, module in modules.items()})
        self._replicated = sharding.written(whole) if self.sharded else set()
        self._gathering: Any = self.fabric.setup_module(whole) if self.sharded else None
        self.groups = {name: list(module.parameters()) for name, module in modules.items()}
        self.optimizer: Any = self.fabric.setup_optimizers(
            torch.optim.AdamW(
                [{"params": parameters} for parameters in self.groups.values()],
                lr=settings.learning_rate,
                betas=_BETAS,
                weight_decay=settings.weight_decay,
                **_kernels(accelerator, self.sharded),
            )
        )

    def _strategy(self) -> Any:
        if self.processes == 1:
            return "auto"
        if self.sharded:
            from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

            return ModelParallelStrategy(
                sharding.shard,
                data_parallel_size=self.processes,
                tensor_parallel_size=1,
                save_distributed_checkpoint=False,
            )
        from lightning_fabric.strategies.ddp import DDPStrategy

        # The settings decide which weights a loss reaches; each process computes the buffers, which are tables.
        return DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)

    def prepare(self, method: Method) -> Any:
        """Return the method as the loop calls it: on the device, in the precision of the run."""
        if self.sharded:
            return partial(self._gathering, method)
        method.to(self.device)
        return self.fabric.setup_module(method)

    @torch.no_grad()
    def gathered(self, run: Callable[[], T]) -> T:
        """Run a function that needs unsharded weights, such as an evaluation, in all processes at once."""
        return self._gathering(run) if self.sharded else run()

    def step(
        self,
        method: Any,
        batch: Batch,
        state: State,
        generators: Iterable[torch.Generator],
        progress: float,
        rate: float,
    ) -> tuple[dict[str, float], State] | None:
        """Take one optimiser step on a batch, of which this process computes its own rows.

        Args:
            method: the result of ``prepare``.
            batch: rows of all processes.
            state: state of this process's rows, as the last step returned it.
            generators: one for each part of the batch.
            progress, rate: share of the method's budget that is spent; factor on the learning rate.

        Returns:
            The losses and gradient norms, and the state for the next step; None if one of the figures was not
            finite. Weights and optimiser are then unchanged.
        """
        self.optimizer.zero_grad(set_to_none=True)
        parts = self.settings.accumulate
        with self._sharing():
            weights = shares(batch, state, parts)
        found: list[dict[str, Tensor]] = []
        states: list[State] = []
        divided = parts_of(batch, state, parts, self.rank, self.processes)
        for index, ((own, before), generator) in enumerate(zip(divided, generators, strict=False)):
            sync = index + 1 == parts
            with self.fabric.no_backward_sync(self._gathering or method, enabled=not sync), self._sharing():
                losses, after = method(own.to(self.device), before, generator, progress)
                self.fabric.backward(losses["loss"] * weights[index])
            states.append(after)
            found.append({name: value.detach() for name, value in losses.items()})
        sums = weighted_means(found, weights)
        sharding.average(self._replicated)
        clip = sharding.clip if self.sharded else nn.utils.clip_grad_norm_
        for name, parameters in self.groups.items():
            with_gradient = [p for p in parameters if p.grad is not None]
            if with_gradient:
                sums[f"{name}_gradient_norm"] = clip(with_gradient, _CLIP)
        with self._sharing():  # each process has its own figures, and all agree whether they are finite
            figures = processes.mean(torch.stack([v.float() for v in sums.values()]))
        values = dict(zip(sums, figures.tolist(), strict=True))
        if not all(v == v and abs(v) != float("inf") for v in values.values()):
            return None
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * rate
        self.optimizer.step()
        self.updates += 1
        return values, joined(states)

    @torch.no_grad()
    def read(
        self, method: Any, batch: Batch, state: State, generators: Iterable[torch.Generator], progress: float
    ) -> State:
        """Return the state after a batch that is read without learning; unchanged if the new state is not finite.

        The arguments are those of ``step``.
        """
        states: list[State] = []
        divided = parts_of(batch, state, self.settings.accumulate, self.rank, self.processes)
        for (own, before), generator in zip(divided, generators, strict=False):
            with self._sharing():
                states.append(method(own.to(self.device), before, generator, progress)[1])
        after = joined(states)
        bad = torch.stack([(~torch.isfinite(values)).sum() for values in after.values()]).sum()
        with self._sharing():
            return state if processes.total(bad) else after

    def agreed(self, value: Any) -> Any:
        """Broadcast the value of rank 0, which depends on a clock, a signal or a file."""
        return self.fabric.broadcast(value) if self.processes > 1 else value

    def by_first(self, ask: Callable[[], T]) -> T:
        """Run on rank 0, then broadcast the result or the exception to all processes."""
        if self.processes == 1:
            return ask()
        found, error = _tried(ask) if self.rank == 0 else (None, None)
        found, said = self.agreed((found, error))
        if said is not None:
            raise error or said  # rank 0 raises its own exception, with its cause
        return found

    def by_each(self, ask: Callable[[], T]) -> list[T]:
        """Run on every process and return all results; or raise an exception of one of them, its own if it has one."""
        if self.processes == 1:
            return [ask()]
        found, error = _tried(ask)
        told: list[Any] = [None] * self.processes
        torch.distributed.all_gather_object(told, (found, error))
        for said in (error, *(said for _, said in told)):
            if said is not None:
                raise said
        return [found for found, _ in told]

    def _sharing(self) -> AbstractContextManager[None]:
        return processes.sharing(self.rank, self.processes)

    def is_finite(self) -> bool:
        """Return whether all weights are finite."""
        weights = [sharding.own(p) for parameters in self.groups.values() for p in parameters]
        bad = torch.stack([(~torch.isfinite(part)).sum() for part in weights]).sum()
        with self._sharing():
            return not processes.total(bad)


def _tried(ask: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """Call a function and return its result or its exception."""
    try:
        return ask(), None
    except Exception as met:
        return None, met


def _leave() -> None:
    """Stop gloo's threads, which would abort a process at its exit; Fabric stops only NCCL's."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _kernels(accelerator: str, sharded: bool) -> dict[str, bool]:
    """Choose the kernels of AdamW. The fused kernel does not accept a mixture of whole and sharded weights."""
    return {"fused": not sharded and accelerator in ("cpu", "cuda"), **({"foreach": False} if sharded else {})}
