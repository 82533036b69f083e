"""Imitation: the student acts as the expert does, and learns from where it comes itself."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from helpers import make_student
from nounroll.core.spaces import Categorical, Real

gymnasium = pytest.importorskip("gymnasium")
from nounroll.control import CartPole, Imitation, TMaze, collect, episode_picture, imitate  # noqa: E402

SMALL = {
    "cell.memory_width": 16,
    "cell.width": 16,
    "training.learning_rate": 2e-2,
    "training.evaluations": 1,
    "training.curriculum": 0,
}


def maze() -> Any:
    return TMaze(4)


def imitated(**options: Any) -> Imitation:
    given = {"method": "bptt", "cell": "gru", "episodes": 24, "validation": 8, "settings": SMALL, **options}
    return imitate(maze, TMaze.expert, **given)


@pytest.fixture(scope="module")
def learnt() -> Imitation:
    return imitated(steps=90, rounds=2)


def test_the_student_turns_as_the_sign_says(learnt: Imitation) -> None:
    assert learnt.returns.mean == learnt.expert_returns.mean == 1
    assert len(learnt.rounds) == len(learnt.runs) == 2
    assert learnt.student is learnt.runs[learnt.best].student
    assert learnt.rounds[learnt.best].mean == max(one.mean for one in learnt.rounds)
    assert len(learnt.episodes) == 48


def test_control_an_untrained_student_does_not_follow_the_sign() -> None:
    assert imitated(steps=1, rounds=1).returns.mean < 0.9


def test_the_second_round_has_the_students_states_and_the_experts_actions() -> None:
    found = imitated(steps=2, rounds=2)
    first, second = found.episodes.each[:24], found.episodes.each[24:]
    assert all(torch.equal(one.actions, one.advice) for one in first if one.advice is not None)
    assert any(one.advice is not None and not torch.equal(one.actions, one.advice) for one in second)
    again = collect(maze, student=found.runs[0].student, episodes=24, seed=24)
    assert [one.actions.tolist() for one in again] == [one.actions.tolist() for one in second]


def test_the_best_round_is_handed_over(learnt: Imitation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first round has learnt it, and the second has lost it again."""
    lost = make_student("gru", learnt.student.inputs, learnt.student.targets, seed=1, dtype=torch.float32).eval()
    runs = [replace(learnt.runs[0], model=one) for one in (learnt.student, lost)]
    monkeypatch.setattr("nounroll.control.imitation.fit", lambda task, **options: runs.pop(0))
    found = imitated(steps=1, rounds=2)
    assert found.rounds[0].mean == 1 > found.rounds[1].mean
    assert (found.best, found.student) == (0, learnt.student)
    assert found.returns.mean == 1


@pytest.mark.parametrize(
    ("budget", "shares"),
    [
        ({"steps": 5}, [{"steps": 3}, {"steps": 2}]),
        ({"seconds": 30}, [{"seconds": 15}] * 2),
        ({}, [{"seconds": 60}] * 2),
    ],
    ids=str,
)
def test_rounds_share_the_whole_budget(
    learnt: Imitation, monkeypatch: pytest.MonkeyPatch, budget: dict[str, Any], shares: list[Any]
) -> None:
    found = []

    def trained(task: Any, **options: Any) -> Any:
        found.append({name: options[name] for name in ("steps", "seconds") if name in options})
        return learnt.runs[0]

    monkeypatch.setattr("nounroll.control.imitation.fit", trained)
    imitated(**budget, rounds=2)
    assert found == shares


def test_a_round_goes_on_with_student_and_teacher() -> None:
    small = {**SMALL, "teacher.width": 16, "teacher.layers": 1, "teacher.decoder_layers": 1}
    found = imitated(method="smt+dmt", cell="mlp", steps=8, rounds=2, settings=small)
    assert [run.recipe.method for run in found.runs] == ["smt+dmt", "smt+dmt"]
    begun = [record["loss"] for record in found.runs[1].history if record["event"] == "given"]
    assert begun  # the second round begins with the student of the first
    assert all(run.teacher is not None for run in found.runs)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rounds": 0}, "rounds is 0; it must be at least 1"),
        ({"episodes": 2}, "episodes is 2; it must be at least 3"),
        ({"validation": 0}, "validation is 0"),
        ({"seconds": 3.0, "steps": 3}, "seconds is 3.0 and steps is 3; give one of them"),
        ({"seconds": 0.0}, "seconds is 0"),
        ({"seed": -1, "steps": 3}, "seed is -1; it must be at least 0"),
        ({"method": "magic", "steps": 3}, "method is 'magic'"),
        ({"limit": 2, "steps": 3}, "has not ended after 2 steps"),
    ],
    ids=str,
)
def test_a_mistake_is_said_in_one_line_before_training(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        imitated(**options)


def test_the_picture_shows_observation_action_and_memory() -> None:
    student = make_student("gru", Real(2), Categorical(2), dtype=torch.float32).eval()
    episode = collect(CartPole, CartPole.expert, student=student, episodes=1).each[0]
    picture = episode_picture(episode, student, names=("cart", "pole"))
    top, middle, bottom = picture.figure.axes[:3]
    assert [line.get_label() for line in top.lines] == ["cart", "pole"]
    assert [line.get_label() for line in middle.lines] == ["the expert's", "taken"]
    taken = middle.lines[1].get_ydata()
    assert list(taken) == episode.actions.tolist()
    assert bottom.images[0].get_array().shape[1] == len(episode)
    assert f"return {episode.rewards.sum():.4g}" in picture.caption


def test_the_picture_of_a_single_step_is_drawn() -> None:
    student = make_student("gru", Categorical(4), Categorical(3), dtype=torch.float32).eval()
    episode = collect(maze, lambda env, shown: 0, episodes=1).each[0]
    assert len(episode) == 1
    assert episode_picture(episode, student).figure.axes
