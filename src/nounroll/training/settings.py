"""Settings of the training loop."""

from dataclasses import dataclass
from typing import Literal

BUDGETS = ("seconds", "steps", "tokens", "flops", "sequential_flops")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Budget, optimiser and loop.

    The budget is one of ``BUDGETS``, for the whole chain of methods; a run spends it and less than one step more.
    With any but ``seconds`` a run is a pure function of its recipe on one machine, and a resumed run equals one
    that never stopped, bit for bit.

    Args:
        seconds: wall-clock budget of the run, evaluations included.
        steps: optimiser steps of the run.
        tokens: time steps that the run trains on, of all sequences together.
        flops: FLOPs of its losses and gradients; ``nounroll.methods.cost`` says what is counted.
        sequential_flops: those on the longest chain of dependent operations.
        batch_size: sequences per step, of whatever length: the curriculum's first steps are small and many.
        learning_rate: AdamW's, at its peak.
        weight_decay: AdamW's.
        betas: AdamW's.
        clip: largest gradient norm, for the teacher and for the student apart.
        warmup: share of each method's budget in which the learning rate rises.
        schedule: what it does after that.
        curriculum: start each method with shorter sequences, where the task can give them.
        first_length: T at the start of the curriculum, or a little less; it doubles up to the recipe's length.
        curriculum_share: share of the method's budget that the shorter lengths take together.
        accumulate: parts that each batch is cut into, to save device memory.
        evaluations: evaluations (and checkpoints) per method.
        evaluation_sequences: held-out sequences of each evaluation.
        log_every: steps between lines of metrics.jsonl.
        keep: checkpoints kept, the newest.
        keep_best: keep the one of the lowest validation loss too.
        device: where to run; "auto" takes cuda, then mps, then cpu.
        precision: "auto" is bf16-mixed on CUDA and 32-true elsewhere.
        compile: run the loss through torch.compile.
        shard: of several processes (``torchrun``), give each a part of the weights, gradients and optimiser in place of
            all: less memory, more talk between them. Weights are gathered where they are needed.
        seed: of the data, the initial weights and every random choice.
    """

    seconds: float | None = None
    steps: int | None = None
    tokens: int | None = None
    flops: float | None = None
    sequential_flops: float | None = None
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    warmup: float = 0.03
    schedule: Literal["cosine", "constant"] = "cosine"
    curriculum: bool = True
    first_length: int = 16
    curriculum_share: float = 0.6
    accumulate: int = 1
    evaluations: int = 10
    evaluation_sequences: int = 32
    log_every: int = 10
    keep: int = 2
    keep_best: bool = False
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    compile: bool = False
    shard: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        given = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(given) != 1:
            values = " and ".join(f"training.{name} is {getattr(self, name)}" for name in given or BUDGETS)
            raise ValueError(f"{values}; give exactly one of them")
        for name in (*BUDGETS, "batch_size", "learning_rate", "clip", "first_length", "accumulate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"training.{name} is {value}; it must be more than 0")
        for name in ("evaluations", "evaluation_sequences", "log_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"training.{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("warmup", "curriculum_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"training.{name} is {getattr(self, name)}; it must be within 0 and 1")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"training.betas is {self.betas}; each must be at least 0 and less than 1")
        if not self.weight_decay >= 0:
            raise ValueError(f"training.weight_decay is {self.weight_decay}; it must be at least 0")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"training.accumulate is {self.accumulate}; it must divide training.batch_size {self.batch_size}"
            )

    @property
    def budget(self) -> str:
        """Which of ``BUDGETS`` is given."""
        return next(name for name in BUDGETS if getattr(self, name) is not None)
