"""Settings of DMT."""

from dataclasses import dataclass

from nounroll.core.ranges import at_least, more_than


@dataclass(frozen=True, kw_only=True)
class DMTSettings:
    """Weights and sizes of the DMT loss (arXiv 2606.06479, Eq. 6; windows and the decoder's loss are ours).

    Args:
        dynamics: weight of the regression to the teacher's memories; 0 does not use its labels. If a part of a label
            holds for one step only, as the answer of ``teacher.kind: slots`` does, only the other parts are used; with
            ``only_ahead`` all parts are.
        decoding: weight of the decoder's prediction of the next targets from the student's memories, with gradients
            through the window, and to a decoder that shares no weights with the encoder. It tells a window what the far
            future needs of its memories (ours).
        only_ahead: follow the labels only if the teacher is ahead (ours). The regression is multiplied by how much
            better the teacher's memories predict than the student's on this batch (cf. the Q-filter of Nair et al.
            2018, arXiv 1709.10089), because a teacher that is behind would hold the student back. A window starts at
            the teacher's memory if the student is lost: its drift is more than half of the variance of memories, and
            its readout there is clearly worse than the teacher's (or nothing is scored there). Nothing can be learnt
            from such a memory, and training on it degrades the readout (cf. SafeDAgger, Zhang & Cho 2017). If the
            teacher was hardly ahead in eight steps in a row, it is asked more and more seldom, up to every 64th step,
            until it is ahead again; a step without it is one of truncated BPTT. False is the paper's method.
        window: w, steps unrolled with gradients from each of the student's own memories.
        share: share of the run's budget relative to the other methods of its chain; tbptt and bptt have 1.
        learning_rate: factor on training.learning_rate.
    """

    dynamics: float = 1.0
    decoding: float = 1.0
    only_ahead: bool = True
    window: int = 32
    share: float = 1.0
    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        for name in ("dynamics", "decoding"):
            at_least(f"dmt.{name}", getattr(self, name), 0)
        if not self.dynamics and not self.decoding:
            raise ValueError("dmt.dynamics is 0 and dmt.decoding is 0; without the teacher it is the method tbptt")
        at_least("dmt.window", self.window, 1)
        for name in ("share", "learning_rate"):
            more_than(f"dmt.{name}", getattr(self, name), 0)
