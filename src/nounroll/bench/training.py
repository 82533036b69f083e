"""Timing of training steps: draw, loss, gradients, clipping, AdamW."""

from collections.abc import Callable

import torch
from torch import Tensor

from nounroll.bench.timing import Contender, seconds
from nounroll.cells.base import CellSettings
from nounroll.core.batch import Batch
from nounroll.core.seeding import generator
from nounroll.data.task import SequenceTask, draw
from nounroll.methods import BPTT, DMT, SMT, TBPTT, DMTSettings, SMTSettings, TBPTTSettings
from nounroll.methods.base import Method, State
from nounroll.methods.cost import step_cost
from nounroll.methods.flops import count_flops
from nounroll.models.student import Student
from nounroll.objectives.dynamics import dynamics
from nounroll.objectives.readout import masked_mean, negative_log_likelihood
from nounroll.teacher import Teacher, TeacherSettings, build_teacher
from nounroll.teacher.causal import CausalEncoder

_BASELINES = {
    "smt": "smt windowed",
    "smt by chunks": "smt",
    "dmt sequential": "dmt of the paper",
    "dmt": "dmt of the paper",
    "tbptt": "bptt stepped",
    "bptt fused": "bptt stepped",
}
CHUNK = 256  # time steps of one chunk of labels and losses
_TRUNK = 256  # width of the trunk: matrix products dominate


class SequentialDMT(Method):
    """DMT of the paper (arXiv 2606.06479, Eq. 6): sequential steps, with a separate encoding of each context.

    The step is trained towards the label with weight 10. The readout is trained on the memory without a gradient to the
    memory. Labels carry no gradient; the public reference code computes this gradient and discards it.

    Args:
        student, teacher: the networks; the teacher's encoder takes windows.
        whole_contexts: every context has the full length, as in the paper. Steps before the start of the sequence are
            masked, at the same cost. If False, a context is the prefix and costs half as much on average, so this
            baseline is faster than the paper's.
    """

    def __init__(self, student: Student, teacher: Teacher, *, whole_contexts: bool) -> None:
        super().__init__()
        self.student, self.whole_contexts = student, whole_contexts
        self._teacher = (teacher,)  # in a tuple, so that its weights are not registered

    def forward(
        self, batch: Batch, state: State, generator: torch.Generator, progress: float
    ) -> tuple[dict[str, Tensor], State]:
        student, memory = self.student, self.student.initial_memory(batch.batch_size)
        errors, surprise = [], []
        for t in range(batch.length):
            with torch.no_grad():
                place = torch.full((batch.batch_size, 1), t + 1, device=batch.inputs.device)
                context = batch.inputs if self.whole_contexts else batch.inputs[:, : t + 1]
                label = self._teacher[0].memories(context, place)[:, 0]
            memory = student.step(batch.inputs[:, t], memory.detach() if t else memory)
            errors.append(dynamics(memory, label))
            outputs = student.readout(memory.detach())
            surprise.append(negative_log_likelihood(student.targets, outputs, batch.targets[:, t]))
        losses = {"dynamics": torch.stack(errors).mean(), "readout": masked_mean(torch.stack(surprise, 1), batch.mask)}
        return {"loss": 10 * losses["dynamics"] + losses["readout"], **losses}, {}

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return per_token * length


def training(task: SequenceTask, cells: list[str], length: int, batch: int) -> dict[str, Contender]:
    """Build contenders: every method with every cell and its baseline, and the teacher's trunk alone at width 256."""
    found: dict[str, Contender] = {}
    for cell in cells:
        dense = batch * length
        for name, method in methods(task, cell, length).items():
            amount = batch if name.startswith("smt windowed") else dense
            flops = step_cost(method, task, length, batch)["flops"] * dense / amount
            if name.startswith("bptt stepped"):
                method.student.cell.unroll = None  # type: ignore[union-attr]  # the count of costs resets it
            counts = "labels" if isinstance(method, SMT) else "transitions"
            baseline = f"{_BASELINES.get(name.partition(',')[0], name.partition(',')[0])}, {cell}"
            found[name] = Contender(stepper(method, task, length, batch), amount, counts, baseline, flops)
    return {**found, **_trunk(task, length, batch)}


def methods(task: SequenceTask, cell: str, length: int) -> dict[str, Method]:
    """Build the methods that train a cell, by name, each with a separate student."""

    def student() -> Student:
        return Student(task.inputs, task.targets, CellSettings(kind=cell))  # type: ignore[arg-type]

    def taught(kind: str, recompute: bool = False) -> tuple[Student, Teacher]:
        settings, one = TeacherSettings(kind=kind), student()  # type: ignore[arg-type]
        return one, build_teacher(settings, task.inputs, task.targets, one.cell, recompute=recompute)

    found: dict[str, Method] = {
        "smt windowed": SMT(*taught("window"), SMTSettings(transitions=1)),
        "smt": SMT(*taught("causal"), SMTSettings(transitions=0)),
        "smt by chunks": SMT(*taught("causal", recompute=True), SMTSettings(transitions=0, chunk=CHUNK)),
        "dmt of the paper": SequentialDMT(*taught("window"), whole_contexts=True),
        "dmt sequential": SequentialDMT(*taught("window"), whole_contexts=False),
        "dmt": DMT(*taught("causal"), DMTSettings(), 1.0),
        "tbptt": TBPTT(student(), TBPTTSettings()),
        "bptt stepped": BPTT(student()),
    }
    if hasattr(student().cell, "unroll"):
        found["bptt fused"] = BPTT(student())
    return {f"{name}, {cell}": method for name, method in found.items()}


def stepper(method: Method, task: SequenceTask, length: int, batch: int) -> Callable[[int], list[float]]:
    """Build a function that times one whole training step."""
    parameters = list(method.parameters())
    optimizer = torch.optim.AdamW(parameters, fused=True)
    state: State = {}

    def step(index: int) -> None:
        nonlocal state
        drawn = draw(task, batch, length, 0, "bench", index)
        optimizer.zero_grad(set_to_none=True)
        losses, state = method(drawn, state, generator(0, "bench", index), 0.5)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], 1.0)
        optimizer.step()

    return lambda index: [seconds(lambda: step(index))]


def _trunk(task: SequenceTask, length: int, batch: int) -> dict[str, Contender]:
    """Time the causal encoder forward and backward, as a bound for training relative to the machine's peak."""
    name = f"trunk of width {_TRUNK}"
    encoder = CausalEncoder(TeacherSettings(width=_TRUNK), task.inputs)
    inputs = draw(task, batch, length, 0, "bench").inputs

    def run() -> None:
        encoder(inputs, None).square().mean().backward()

    flops = count_flops(run)[0] / (batch * length)
    return {name: Contender(lambda index: [seconds(run)], batch * length, "tokens", name, flops)}
