"""Service of one student: the parts shared by all routes."""

from dataclasses import dataclass
from typing import Annotated

import torch
from fastapi import Depends, Request
from torch import Tensor

from nounroll.data.task import SequenceTask
from nounroll.models.student import Student
from nounroll.serve.batcher import Batcher
from nounroll.serve.judge import Judge
from nounroll.serve.metrics import Metrics
from nounroll.serve.pool import Pool
from nounroll.serve.requests import Writing
from nounroll.serve.sessions import Sessions
from nounroll.serve.settings import STOP_BYTES, STOPS, ServeSettings
from nounroll.serve.turns import Turns


@dataclass(frozen=True)
class Service:
    """Parts of a server.

    Attributes:
        name: the model's name.
        judge: compares memories with the teacher's; None without a teacher.
    """

    name: str
    student: Student
    task: SequenceTask
    settings: ServeSettings
    metrics: Metrics
    pool: Pool
    batcher: Batcher
    sessions: Sessions
    judge: Judge | None
    turns: Turns

    def read(self, given: str | list[int] | list[float] | list[list[float]]) -> Tensor:
        """Return a prompt as inputs of the task's space, (P,) or (P, d).

        Raises:
            ValueError: the prompt is empty, too long, or not of the space.
        """
        inputs = self.task.inputs
        if isinstance(given, str):
            result = self.task.encode(given)
        else:
            try:
                result = torch.tensor(given, dtype=inputs.dtype)
            except (ValueError, TypeError, RuntimeError, OverflowError) as error:
                raise ValueError("inputs are not an array of numbers of one shape") from error
        if not len(result):
            raise ValueError("prompt is empty; at least one input is needed")
        if result.shape[1:] != inputs.event_shape:
            raise ValueError(f"inputs have shape {tuple(result.shape)}; they must be of the space {inputs}")
        if inputs.symbols is not None:  # torch would truncate a fraction
            for one in given:
                if isinstance(one, float) and not one.is_integer():
                    raise ValueError(f"inputs hold {one}; symbols of the space {inputs} are whole numbers")
        if len(result) > self.settings.prompt:
            raise ValueError(f"prompt has {len(result)} elements; this server takes at most {self.settings.prompt}")
        inputs.check("prompt", result)
        return result

    def check_may_write(self, body: Writing, answers: int = 1) -> None:
        """Raise ValueError if the model cannot write, or the request exceeds the limits of length or answers."""
        if not self.task.autoregressive:
            raise ValueError("this model's targets are not its next inputs, so it cannot write; feed its sessions")
        if body.max_tokens > self.settings.tokens:
            raise ValueError(f"max_tokens is {body.max_tokens}; this server draws at most {self.settings.tokens}")
        if len(body.stops) > STOPS or any(len(stop.encode()) > STOP_BYTES for stop in body.stops):
            longest = max(len(stop.encode()) for stop in body.stops)
            raise ValueError(
                f"stop holds {len(body.stops)} texts, the longest of {longest} bytes;"
                f" this server takes at most {STOPS} of at most {STOP_BYTES}"
            )
        most = min(self.settings.queue, self.settings.slots)
        if answers > most:
            raise ValueError(f"n and prompt ask for {answers} answers; this server writes at most {most} at once")


async def _of(request: Request) -> Service:
    return request.app.state.service


Served = Annotated[Service, Depends(_of)]
