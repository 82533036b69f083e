"""The whole way, small: an RNN learns to remember by SMT and DMT, and is judged alone."""

import nounroll
from nounroll.data.retrieval import Retrieval
from nounroll.rollout.evaluate import evaluate, validation_batches

SMALL = {"teacher.width": 64, "cell.memory_width": 32, "readout_width": 64, "training.evaluations": 2}


def test_retrieval_at_32_is_learnt_to_99_percent() -> None:
    """In about 20 s of one core. The same network before it is trained guesses, at 1 in 8."""
    trained, untrained = (
        nounroll.fit(Retrieval(), method="smt+dmt", cell="mlp", length=32, steps=steps, seed=0, settings=SMALL)
        for steps in (400, 2)
    )
    assert untrained.metrics["accuracy"] < 0.3
    assert trained.metrics["accuracy"] >= 0.99
    alone = evaluate(trained.student, validation_batches(Retrieval(), 256, 32, seed=1))
    assert alone["accuracy"] >= 0.99
