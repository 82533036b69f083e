"""The bodies of requests."""

import secrets
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from nounroll.generation import Sampling
from nounroll.seeding import generator


class Body(BaseModel):
    """What is not known is refused: a setting that were ignored would mislead."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Writing(Body):
    """How much to draw, and how."""

    max_tokens: int = Field(16, ge=1)
    temperature: float = Field(1.0, ge=0, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=1)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=0)
    stop: str | list[str] | None = None
    stream: bool = False

    @property
    def sampling(self) -> Sampling:
        return Sampling(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)

    def draws(self) -> torch.Generator:
        """The source of its draws: the seed's, or one of its own where there is none."""
        return generator(secrets.randbits(48) if self.seed is None else self.seed, "generate")

    @property
    def stops(self) -> list[str]:
        """The texts that end it."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [stop for stop in given if stop]


class StreamOptions(Body):
    """``include_usage``: how much was read and written, in an event of its own at the end."""

    include_usage: bool = False


class Completion(Writing):
    """As OpenAI's clients send it. Of what the server does not do, the value that asks for nothing is taken."""

    model: str
    prompt: str | list[int]
    stream_options: StreamOptions = StreamOptions()
    n: Literal[1] = 1
    best_of: Literal[1] = 1
    echo: Literal[False] = False
    frequency_penalty: Literal[0] = 0
    presence_penalty: Literal[0] = 0
    logit_bias: dict[str, float] = Field({}, max_length=0)
    user: str = ""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        """What is null is left out; a list of one prompt is that prompt."""
        if not isinstance(given, dict):
            return given
        given = {name: value for name, value in given.items() if value is not None}
        prompt = given.get("prompt")
        alone = isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list)
        return given | {"prompt": prompt[0]} if alone else given


class Sample(Writing):
    """Of a session. ``watch``: the memory with every piece."""

    watch: bool = False


class Feed(Body):
    """Text as the task reads it, or inputs: symbols, or vectors. ``watch``: the memory after it."""

    text: str | None = None
    inputs: list[int] | list[list[float]] | None = None
    watch: bool = False
