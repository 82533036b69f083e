"""Imitation by a GRU in plain PyTorch, trained by BPTT on the very episodes that ``nounroll.control`` would play."""

import time
from typing import Any

import torch
import torch.nn.functional as F
from control_tasks import Problem
from torch import Tensor, nn

from nounroll.control import Episodes, Returns, collect
from nounroll.control.imitation import part_seed

WIDTH, BATCH, RATE = 128, 32, 3e-3


class GRU(nn.Module):
    """A GRU of 128 units and a linear readout, which acts as a student does.

    Args:
        episodes: of whose spaces, and by whose numbers inputs are standardised.
    """

    def __init__(self, episodes: Episodes) -> None:
        super().__init__()
        self.inputs, self.targets = episodes.observations.space, episodes.actions.space
        numbers = self.numbers(torch.cat([one.observations for one in episodes]))
        self.mean, self.deviation = numbers.mean(0), numbers.std(0).clamp(min=1e-6)
        self.gru = nn.GRU(numbers.shape[1], WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, self.targets.readout_size)

    def numbers(self, values: Tensor) -> Tensor:
        symbols = self.inputs.symbols
        return F.one_hot(values, symbols).float() if symbols is not None else self.inputs.enter(values)

    def forward(self, values: Tensor) -> Tensor:
        return self.head(self.gru((self.numbers(values) - self.mean) / self.deviation)[0])

    def initial_memory(self, rows: int) -> Tensor:
        return torch.zeros(rows, 1, WIDTH)

    def step(self, values: Tensor, memory: Tensor) -> Tensor:
        now = (self.numbers(values) - self.mean) / self.deviation
        return self.gru(now[:, None], memory.transpose(0, 1).contiguous())[1].transpose(0, 1)

    def readout(self, memory: Tensor) -> Tensor:
        return self.head(memory[:, 0])

    def reset(self, memory: Tensor, done: Tensor) -> Tensor:
        return torch.where(torch.as_tensor(done)[:, None, None], torch.zeros(()), memory)


def train(model: GRU, episodes: Episodes, length: int, seconds: float, seed: int) -> int:
    """Adam with a cosine and clipped gradients until the time is spent; the number of steps."""
    task, draws = episodes.sequences(), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), RATE)
    start, steps = time.process_time(), 0
    while (spent := (time.process_time() - start) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * spent))))
        batch = task.sample(BATCH, min(length, task.length), draws)
        outputs = model(batch.inputs)
        loss = F.cross_entropy(outputs[batch.mask], batch.targets[batch.mask])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        steps += 1
    return steps


def imitate(problem: Problem, seed: int, validation: int) -> dict[str, Any]:
    """The rounds of ``nounroll.control.imitate``, and what it says of them."""
    torch.manual_seed(seed)

    def returns(part: str, **actor: Any) -> Returns:
        return collect(problem.make, episodes=validation, seed=part_seed(seed, part), **actor).returns

    first = part_seed(seed, "train")
    data = collect(problem.make, problem.expert, episodes=problem.episodes, seed=first)
    model, rounds, states, steps = GRU(data), list[Returns](), list[dict[str, Tensor]](), 0
    for number in range(problem.rounds):
        if number:
            more = {"student": model, "episodes": problem.episodes, "seed": first + len(data)}
            data += collect(problem.make, problem.expert, **more)  # type: ignore[arg-type]
        steps += train(model, data, problem.length, problem.seconds / problem.rounds, seed)
        rounds.append(returns("validation", student=model))
        states.append({name: t.clone() for name, t in model.state_dict().items()})
    best = max(range(problem.rounds), key=lambda number: (rounds[number].mean, number))
    model.load_state_dict(states[best])
    return {
        "returns": returns("test", student=model),
        "expert": returns("test", expert=problem.expert),
        "rounds": rounds,
        "chosen": "bptt gru",
        "steps": steps,
    }
