"""Settings of SMT."""

from dataclasses import dataclass

from nounroll.core.ranges import at_least, more_than, within


@dataclass(frozen=True, kw_only=True)
class SMTSettings:
    """Weights and sizes of the SMT loss (arXiv 2606.06479, Eq. 2-5), and two terms of ours.

    The student's readout is trained on labels of scored steps beside it, with weight 1 (dense; ours).

    Args:
        decoding: weight of the decoder's prediction of the next targets from sampled memories.
        dynamics: weight of the regression to the labels.
        uniformity: weight of the spread of memories.
        step_readout: weight of the readout on the cell's own predictions (ours).
        transitions: transitions per sequence, drawn at random (rounded up to whole windows); 0, or T and more, is
            all T.
        window: steps that the cell takes by itself from each label it starts at. 1 is the paper's single step.
        relative: take the root of the mean square of the transitions' errors, since a rollout is as good as its worst
            step and the steps that matter can be rare; and divide it by the variance of the labels, so that labels
            cannot make it small by shrinking towards a constant (ours). The variance carries its whole gradient to the
            teacher, whatever ``labels_learn`` is: that is about the errors. False is the paper's mean of the errors.
        noise: the cell starts from memories with Gaussian noise of a random size from 0 to ``noise`` times their
            root mean square, and must still land on the label: it learns to pull its errors back in (ours).
        labels_learn: share of the errors' gradient that reaches the teacher through the labels m_t. 1 is
            the paper's. It draws labels towards what the cell can predict already, which is to stay where they
            are: new information then enters memory in tiny steps. A small share is enough to forget noise. All of it
            reaches the teacher through m_{t-1}: that is what makes the memory Markovian.
        teacher: folder of a run whose teacher labels memories as it is, so that many cells can learn from one: only
            cell and readout learn, and ``decoding`` and ``uniformity``, which are about labels, count for nothing.
            Its sizes, the memory's and what the cell's memories can be must be the same (ours). Empty: a teacher of
            the run's own.
        share: part of the run's budget, relative to the other methods of its chain, which have 1.
        until_passed: end when the teacher has nothing to teach (any more), and leave the rest of the budget to the next
            method: when in two evaluations in a row the student alone predicts better than its teacher and a constant
            guess; or when, after half of its own share, the teacher is hardly better than the best constant guess. A
            student that is no better either then is again what it was before smt (ours;
            ``nounroll.training.handover`` has the measures).
        chunk: time steps whose labels and losses are made together, and again for their gradients; 0 makes those of
            the whole sequence at once. With it a step's memory grows with M + T in place of M T (but for the labels of
            slots, which one scan writes): the encoder's layers are computed again too. Losses and gradients are the
            same, but for noise, whose draws are others.
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
