"""Settings of SMT."""

from dataclasses import dataclass

from nounroll.core.ranges import at_least, more_than, within


@dataclass(frozen=True, kw_only=True)
class SMTSettings:
    """Weights and sizes of the SMT loss (arXiv 2606.06479, Eq. 2-5), and two additional terms of ours.

    The student's readout is also trained on the labels of scored steps, with weight 1 (dense; ours).

    Args:
        decoding: weight of the decoder's prediction of the next targets from sampled memories.
        dynamics: weight of the regression to the labels.
        uniformity: weight of the spread of memories.
        step_readout: weight of the readout's loss on the cell's own predictions (ours).
        transitions: transitions per sequence, drawn at random (rounded up to whole windows); 0, or T and more, means
            all T.
        window: steps that the cell takes alone from each label. 1 is the paper's single step.
        relative: take the root mean square of the transitions' errors, because a rollout is as good as its worst step
            and the important steps can be rare; and divide it by the variance of the labels, so that labels cannot
            reduce it by shrinking towards a constant (ours). The variance passes its whole gradient to the teacher;
            ``labels_learn`` applies only to the errors. False is the paper's mean of the errors.
        noise: the cell starts from memories with Gaussian noise of a random size from 0 to ``noise`` times their root
            mean square, and must still reach the label: it learns to correct its errors (ours).
        labels_learn: share of the errors' gradient that reaches the teacher through the labels m_t. 1 is the
            paper's. This gradient draws labels towards what the cell can already predict, which is to stay unchanged:
            new information then enters memory in tiny steps. A small share is enough to ignore noise. All of the
            gradient reaches the teacher through m_{t-1}: that makes the memory Markovian.
        teacher: folder of a run whose teacher labels memories unchanged, so that many cells can learn from one teacher:
            only cell and readout learn, and ``decoding`` and ``uniformity``, which train labels, have no effect. The
            teacher's settings, the memory's shape and the range of the cell's memories must be the same (ours).
            Empty: a new teacher for this run.
        share: share of the run's budget relative to the other methods of its chain; tbptt and bptt have 1.
        until_passed: end when the teacher has nothing (more) to teach, and leave the rest of the budget to the next
            method: if in two consecutive evaluations the student alone predicts better than its teacher and a constant
            guess; or if, after half of its own share, the teacher is hardly better than the best constant guess. If the
            student is not better either, it is restored to its state before smt (ours; ``nounroll.training.handover``
            has the thresholds).
        chunk: time steps whose labels and losses are computed together, and recomputed for their gradients; 0
            computes the whole sequence at once. With chunks the memory of a step grows with M + T in place of M T
            (except for the labels of slots, which one scan writes), because the encoder's layers are recomputed too.
            Losses and gradients are the same, except for noise, which is drawn differently. DMT computes its windows
            by such parts too.
    """

    decoding: float = 1.0
    dynamics: float = 0.1
    uniformity: float = 0.001
    step_readout: float = 0.0
    transitions: int = 16
    window: int = 1
    relative: bool = True
    noise: float = 1.0
    labels_learn: float = 0.3
    teacher: str = ""
    share: float = 1.0
    until_passed: bool = True
    chunk: int = 0

    def __post_init__(self) -> None:
        for name in ("decoding", "dynamics", "uniformity", "step_readout", "noise", "transitions", "chunk"):
            at_least(f"smt.{name}", getattr(self, name), 0)
        at_least("smt.window", self.window, 1)
        within("smt.labels_learn", self.labels_learn, 0, 1)
        more_than("smt.share", self.share, 0)
