"""A cell of your own: train it, save it, load it again: python own_cell.py"""

from typing import Any

import torch
from torch import Tensor, nn

import nounroll
from nounroll.data.retrieval import Retrieval
from nounroll.models.student import Student


class Fading(nn.Module):
    """m_t = a m_{t-1} + (1 - a) h(m_{t-1}, x_t): each number of the memory fades at a rate of its own."""

    memory_shape = (1, 64)  # K memory tokens of width d

    def __init__(self, symbols: int) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(symbols, 64), nn.Linear(128, 64)
        self.rate = nn.Parameter(torch.linspace(-3, 6, 64))  # some forget at once, some hardly ever

    def constrain(self, raw: Tensor) -> Tensor:  # the memories that it can hold, for its teacher
        return torch.tanh(raw)

    def step(self, inputs: Tensor, memory: Tensor) -> Tensor:  # (N,), (N, 1, 64) -> (N, 1, 64)
        seen = torch.cat([memory[:, 0], self.embed(inputs)], dim=-1)
        kept = self.rate.sigmoid()
        return (kept * memory[:, 0] + (1 - kept) * torch.tanh(self.mix(seen)))[:, None]


def main(folder: str = "fading", **options: Any) -> None:
    task = Retrieval(values=8)
    symbols = task.inputs.n
    run = nounroll.fit(task, cell=Fading(symbols), length=32, **options)
    print(f"{run.metrics['accuracy']:.0%} of its answers are right; of guesses, {1 / 8:.0%}")

    run.student.save_pretrained(folder)
    again = Student.from_pretrained(folder, cell=Fading(symbols))  # a file holds no code: the class is yours to keep
    inputs = task.sample(4, 32, torch.Generator().manual_seed(0)).inputs
    print("loaded, it remembers the same:", torch.equal(again.rollout(inputs), run.student.rollout(inputs)))


if __name__ == "__main__":
    main(seconds=60)
