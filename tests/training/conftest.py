"""What the tests of training share: every step is logged, so that they can look at each."""

import pytest


@pytest.fixture(autouse=True)
def _every_step_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.loop._LOGGED", 1)
