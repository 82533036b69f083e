"""The figures of docs/spaces.md: drawn from the answers, and of tasks whose rival computes what it says."""

import json
import math
from pathlib import Path

import spaces
import torch
from spaces_tasks import Events
from torch import distributions as known

ROOT = Path(__file__).resolve().parents[2]


def answers() -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted((ROOT / "docs/spaces").glob("*.json"))]


def test_the_page_shows_the_answers() -> None:
    text = (ROOT / "docs/spaces.md").read_text()
    shown = text.partition("<!-- spaces -->\n")[2].partition("<!-- end of spaces -->")[0]
    assert shown.splitlines() == spaces.table(answers())


def test_control_another_answer_changes_the_page() -> None:
    found = answers()
    found[0]["nats"] = 123.0
    assert spaces.table(found) != spaces.table(answers())


def test_the_rival_of_the_events_computes_their_likelihood() -> None:
    task, outputs = Events(), torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    targets = task.sample(2, 3, torch.Generator().manual_seed(1)).targets
    gap = known.LogNormal(outputs[..., 4], outputs[..., 5].exp()).log_prob(targets[..., 1])
    value = known.Normal(outputs[..., 6], outputs[..., 7].exp()).log_prob(targets[..., 2])
    kind = known.Categorical(logits=outputs[..., :4]).log_prob(targets[..., 0])
    torch.testing.assert_close(task.plain_nll(outputs, targets), -(kind + gap + value))


def test_the_process_itself_is_better_than_a_guess_and_every_kind_happens() -> None:
    events, nats = Events().draw(256, 64, torch.Generator().manual_seed(0))
    guess = Events().targets.guess(events.flatten(0, 1))["loss"]
    assert float(nats.mean()) < guess - 0.3
    shares = events[..., 0].long().flatten().bincount(minlength=4) / events[..., 0].numel()
    assert float(shares.min()) > 0.03
    assert math.isclose(float(shares.sum()), 1, rel_tol=1e-5)
