"""Analysis of a trained student, and of its teacher if there is one."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nounroll.analysis.drift import Drift, drift
from nounroll.analysis.geometry import Geometry, geometry
from nounroll.analysis.gradients import Gradients, bptt_gradients, smt_gradients
from nounroll.analysis.heatmap import HeatMap, heatmap
from nounroll.analysis.horizon import Positions, by_position, by_steps_ahead
from nounroll.analysis.leak import leak
from nounroll.analysis.lengths import AtLength, by_length
from nounroll.analysis.refit import refit
from nounroll.analysis.trajectories import trajectories
from nounroll.data.task import SequenceTask
from nounroll.models.student import Student
from nounroll.rollout.collapse import guard, spectrum, spread
from nounroll.rollout.evaluate import constant_guess, evaluate, evaluate_teacher, validation_batches
from nounroll.rollout.packing import Packing, packing
from nounroll.teacher import Teacher

_GRADIENT_ROWS = 16  # sequences for the gradients
_CUTS = 8  # cuts at which a memory must predict the rest of the sequence


@dataclass(frozen=True)
class Measured:
    """Figures of a student or its teacher on the held-out sequences.

    Attributes:
        metrics: loss, bits, and accuracy or rmse.
        positions: the same by time step.
        ahead: loss of the teacher's decoder from these memories, by steps ahead; None without a trained decoder.
        gradients: |dL/dm_t|: for the student the gradients of BPTT through its rollout, for the teacher the gradients
            of SMT at its memories.
        variance, rank: see ``nounroll.rollout.collapse.Spread``.
        spectrum: eigenvalues of the covariance of memories, largest first, as shares of the variance.
    """

    metrics: dict[str, float]
    positions: Positions
    ahead: list[float | None] | None
    gradients: Gradients
    variance: float
    rank: float
    spectrum: list[float]


@dataclass(frozen=True)
class Analysis:
    """Result of ``analyze``. ``to_dict`` converts it for JSON.

    Attributes:
        length: T, in time steps.
        sequences: number of held-out sequences.
        guess: loss, bits, and accuracy or rmse, of the best constant guess for these sequences.
        student: figures of its rollout from m_∅.
        teacher: figures of the same readout on the teacher's memories; None without a teacher.
        refitted: metrics of a readout fitted to the teacher's memories (see ``refit``).
        drift: drift of the student; None without a teacher, like ``explained`` and ``leak``.
        explained: share of the variance of the teacher's memories that one step of the cell explains.
        packing: the decoder's figures on later targets, by the place of the cut (see ``nounroll.rollout.packing``);
            empty without a trained decoder.
        leak: dependence of the teacher's memories on the future; 0 or a rounding error.
        geometry: memories in two dimensions.
        heatmap: the memory of one sequence, number by number.
        lengths: student and teacher at T, 2 T, 4 T and 8 T, up to the task's longest length.
    """

    length: int
    sequences: int
    guess: dict[str, float]
    student: Measured
    teacher: Measured | None
    refitted: dict[str, float] | None
    drift: Drift | None
    explained: float | None
    packing: list[Packing]
    leak: float | None
    geometry: Geometry
    heatmap: HeatMap
    lengths: list[AtLength]

    def to_dict(self) -> dict[str, Any]:
        """Convert to nested dicts and lists, with None for non-finite values."""
        return _plain(dataclasses.asdict(self))


def analyze(
    student: Student,
    teacher: Teacher | None,
    task: SequenceTask,
    *,
    length: int,
    sequences: int = 64,
    horizon: int | None = 32,
    seed: int = 0,
) -> Analysis:
    """Analyse a student on held-out sequences, which training never used.

    Args:
        student: a student on the CPU, trained or not.
        teacher: the student's teacher; None after bptt alone.
        task: source of the sequences.
        length: T, in time steps.
        sequences: number of sequences.
        horizon: steps ahead that the teacher's decoder predicts; None if it was never trained.
        seed: the run's seed, so that the sequences are the same as for its last figures.

    Raises:
        ValueError: the task has no sequences of that length, or nothing is scored in them.
    """
    drawn = validation_batches(task, sequences, length, seed, stream="test")
    if not any(bool(batch.mask.any()) for batch in drawn):
        raise ValueError(
            f"sequences is {sequences} and length is {length}; none of these held-out sequences has a scored target:"
            " take more sequences, or another length"
        )
    seen = trajectories(student, teacher, drawn)
    some = seen.batch.rows(0, _GRADIENT_ROWS)
    decoder = None if teacher is None else teacher.decoder

    def measured(metrics: dict[str, float], memories: Tensor, gradients: Gradients) -> Measured:
        found = spread(seen.real(memories))
        return Measured(
            metrics,
            by_position(student, memories, seen.batch),
            by_steps_ahead(student, decoder, memories, seen.batch, horizon) if decoder and horizon else None,
            gradients,
            found.variance,
            found.rank,
            spectrum(seen.real(memories)).tolist(),
        )

    own = measured(evaluate(student, drawn), seen.own, bptt_gradients(student, some))
    beside = refitted = None
    if teacher is not None and seen.labels is not None:
        gradients = smt_gradients(student, seen.labels[:_GRADIENT_ROWS], some)
        beside = measured(evaluate_teacher(student, drawn, teacher.memories), seen.labels, gradients)
        reader = refit(student, teacher, task, length, seed)
        refitted = evaluate_teacher(reader, drawn, teacher.memories)
    return Analysis(
        length=length,
        sequences=sum(len(batch.inputs) for batch in drawn),
        guess=constant_guess(student.targets, [seen.batch]),
        student=own,
        teacher=beside,
        refitted=refitted,
        drift=None if seen.labels is None else drift(seen.own, seen.labels, seen.there),
        explained=None if teacher is None else guard(student, teacher, seen.batch, seen.there)["explained"],
        packing=packing(student, teacher, seen.batch, cuts=_CUTS) if teacher is not None and horizon else [],
        leak=None if teacher is None else leak(teacher.memories, some),
        geometry=geometry(student, seen),
        heatmap=heatmap(seen),
        lengths=by_length(student, teacher, task, length, sequences, seed),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
