"""The only file that knows Lightning Fabric: devices, precision, processes, gradients."""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator
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
from nounroll.training.devices import best_device, devices
from nounroll.training.settings import TrainingSettings

T = TypeVar("T")

_BETAS = (0.9, 0.95)  # AdamW's
_CLIP = 1.0  # largest gradient norm, for the teacher and for the student apart


class Engine:
    """Device, precision and optimiser of a run, in one process or in the processes of ``torchrun``.

    Every process has rows of its own: a step is that of one process on the whole batch. It holds the whole model, or
    with ``training.shard`` a part of the weights, gradients and optimiser.

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
        usual = "bf16-mixed" if accelerator == "cuda" else "32-true"
        precision = usual if settings.precision == "auto" else settings.precision
        plugins: Any = [Autocast(precision, accelerator)] if precision == "bf16-mixed" else []
        self.settings, self.updates = settings, 0  # updates: how often any weight has been changed
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

        # Which weights a loss reaches depends on its settings; buffers are tables that each process computes.
        return DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)

    def prepare(self, method: Method) -> Any:
        """The method as the loop calls it: on the device, in the precision of the run."""
        if self.sharded:
            return partial(self._gathering, method)
        method.to(self.device)
        return self.fabric.setup_module(method)

    @torch.no_grad()
    def gathered(self, run: Callable[[], T]) -> T:
        """Run something that needs the weights whole, such as an evaluation, in all processes at once."""
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
        """One optimiser step on a batch of all processes, of which this one takes its rows.

        Args:
            method: as ``prepare`` gave it.
            batch: of all processes.
            state: of this process's rows, as the step before returned it.
            generators: one for each part of the batch.
            progress, rate: of the method's budget; factor on the learning rate.

        Returns:
            The losses and gradient norms, and the state for the next step; None when one of the figures was not
            finite. Then nothing has changed.
        """
        self.optimizer.zero_grad(set_to_none=True)
        parts = self.settings.accumulate
        sums: dict[str, Tensor] = {}
        states: list[State] = []
        for index, (own, before, generator) in enumerate(self._parts(batch, state, generators)):
            sync = index + 1 == parts
            with self.fabric.no_backward_sync(self._gathering or method, enabled=not sync), self._sharing():
                losses, after = method(own, before, generator, progress)
                self.fabric.backward(losses["loss"] / parts)
            states.append(after)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.detach() / parts  # type: ignore[operator]
        sharding.average(self._replicated)
        clip = sharding.clip if self.sharded else nn.utils.clip_grad_norm_
        for name, parameters in self.groups.items():
            with_gradient = [p for p in parameters if p.grad is not None]
            if with_gradient:
                sums[f"{name}_gradient_norm"] = clip(with_gradient, _CLIP)
        with self._sharing():  # figures that each process has of its own, and one verdict on whether all are finite
            figures = processes.mean(torch.stack([v.float() for v in sums.values()]))
        values = dict(zip(sums, figures.tolist(), strict=True))
        if not all(v == v and abs(v) != float("inf") for v in values.values()):
            return None
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * rate
        self.optimizer.step()
        self.updates += 1
        return values, _joined(states)

    @torch.no_grad()
    def read(
        self, method: Any, batch: Batch, state: State, generators: Iterable[torch.Generator], progress: float
    ) -> State:
        """The state after a batch that nothing is learnt from; as it was where it would not be finite.

        The arguments are as in ``step``.
        """
        states: list[State] = []
        for own, before, generator in self._parts(batch, state, generators):
            with self._sharing():
                states.append(method(own, before, generator, progress)[1])
        after = _joined(states)
        bad = torch.stack([(~torch.isfinite(values)).sum() for values in after.values()]).sum()
        with self._sharing():
            return state if processes.total(bad) else after

    def _parts(
        self, batch: Batch, state: State, generators: Iterable[torch.Generator]
    ) -> Iterator[tuple[Batch, State, torch.Generator]]:
        """This process's rows of each part of a batch, their state, and the part's generator."""
        parts = self.settings.accumulate
        rows = max(1, batch.batch_size // (parts * self.processes))
        for index, generator in zip(range(parts), generators, strict=False):
            start = (index * self.processes + self.rank) * rows
            before = {name: values[:, index * rows : (index + 1) * rows] for name, values in state.items()}
            yield batch.rows(start, start + rows).to(self.device), before, generator

    def agreed(self, value: Any) -> Any:
        """Broadcast the first process's value, which a clock, a signal or a file decides."""
        return self.fabric.broadcast(value) if self.processes > 1 else value

    def by_first(self, ask: Callable[[], T]) -> T:
        """Run on the first process, then broadcast the result or the exception to all."""
        if self.processes == 1:
            return ask()
        found, error = _tried(ask) if self.rank == 0 else (None, None)
        found, said = self.agreed((found, error))
        if said is not None:
            raise error or said  # its own, with its cause, in the first process
        return found

    def by_each(self, ask: Callable[[], T]) -> list[T]:
        """Run on every process and return all results; or raise an exception that one of them met, its own first."""
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
        """Return whether all weights are."""
        weights = [sharding.own(p) for parameters in self.groups.values() for p in parameters]
        bad = torch.stack([(~torch.isfinite(part)).sum() for part in weights]).sum()
        with self._sharing():
            return not processes.total(bad)


def _tried(ask: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """The result, or the exception."""
    try:
        return ask(), None
    except Exception as met:
        return None, met


def _joined(states: list[State]) -> State:
    """The state of all parts of a batch."""
    return {name: torch.cat([one[name] for one in states], dim=1) for name in states[0]}


def _leave() -> None:
    """End gloo's threads, which would abort a process at its exit; Fabric ends NCCL's alone."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _kernels(accelerator: str, sharded: bool) -> dict[str, bool]:
    """Choose the kernels of AdamW. The fused one takes no mixture of whole and sharded weights."""
    return {"fused": not sharded and accelerator in ("cpu", "cuda"), **({"foreach": False} if sharded else {})}
