"""Numbers that are 0 and 1 alone are predicted as bits, by probabilities and not by densities."""

import numpy as np
import pytest

import nounroll

NOTES = [(np.random.default_rng(i).random((12, 2)) < 0.3).astype(float) for i in range(12)]
QUICK = {"seconds": 1.0, "method": "bptt", "cell": "gru"}


def test_targets_of_zeros_and_ones_are_bits() -> None:
    assert nounroll.Sequences(NOTES, targets=NOTES).targets == nounroll.Bits(2)
    halves = [one / 2 for one in NOTES]
    assert nounroll.Sequences(NOTES, targets=halves).targets == nounroll.Real(2)
    constant = [np.ones_like(one) for one in NOTES]
    assert nounroll.Sequences(NOTES, targets=constant).targets == nounroll.Real(2)


def test_the_surprise_of_bits_is_that_of_probabilities() -> None:
    model = nounroll.SequenceAnomaly(**QUICK).fit(NOTES)
    nats = np.concatenate([one[1:] for one in model.surprise(NOTES)])
    assert (nats > 0).all()  # a density would fall below
    assert nats.mean() < 2 * np.log(2)


def test_a_regressor_of_bits_tells_probabilities() -> None:
    model = nounroll.SequenceRegressor(**QUICK).fit(NOTES, [float(one[-1, 0]) for one in NOTES])
    mean, deviation = model.predict(NOTES, return_std=True)
    assert ((mean > 0) & (mean < 1)).all()
    assert deviation == pytest.approx(np.sqrt(mean * (1 - mean)))
