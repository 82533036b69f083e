"""Bodies of requests."""

import secrets
from typing import Annotated, Any, Literal, TypeAlias

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from nounroll.core.seeding import generator
from nounroll.models.generation import Sampling

# Report only the first error of a list: to describe a million errors takes the server half a minute.
Tokens: TypeAlias = Annotated[list[int], Field(fail_fast=True)]
Texts: TypeAlias = Annotated[list[str], Field(fail_fast=True)]
Vectors: TypeAlias = Annotated[list[Annotated[list[float], Field(fail_fast=True)]], Field(fail_fast=True)]


class Body(BaseModel):
    """Body of a request. Unknown fields are refused, because an ignored setting would mislead."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        """Leave out null values, and all unknown names but the first."""
        if not isinstance(given, dict):
            return given
        said = {name: value for name, value in given.items() if value is not None}
        unknown = next((name for name in said if name not in cls.model_fields), None)
        return {name: value for name, value in said.items() if name in cls.model_fields or name == unknown}


class Writing(Body):
    """Settings of a draw: its length and its sampling."""

    max_tokens: int = Field(16, ge=0)
    temperature: float = Field(1.0, ge=0, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=1)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=0)
    stop: str | Texts | None = None
    stream: bool = False

    @property
    def sampling(self) -> Sampling:
        return Sampling(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)

    def draws(self, answer: int = 0) -> torch.Generator:
        """Return the generator for an answer: from the seed and the answer's number, or a new one without a seed."""
        return generator(secrets.randbits(48) if self.seed is None else self.seed, "generate", answer)

    @property
    def stops(self) -> list[str]:
        """Return the texts that end an answer."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [stop for stop in given if stop]


class StreamOptions(Body):
    """Options of a stream. ``include_usage`` adds a last event with the numbers of elements read and written."""

    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class Completion(Writing):
    """Completion in OpenAI's format. Unsupported options are accepted only with their neutral value."""

    model: str
    prompt: str | Tokens | Texts | Annotated[list[Tokens], Field(fail_fast=True)]
    stream_options: StreamOptions = StreamOptions()
    n: int = Field(1, ge=1)
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, le=5)
    best_of: int | None = None
    frequency_penalty: Literal[0] = 0
    presence_penalty: Literal[0] = 0
    logit_bias: dict[str, Any] = Field({}, max_length=0)
    user: str = ""

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """Return the prompts; an empty list is one empty prompt."""
        given = self.prompt
        if isinstance(given, str):
            return [given]
        if given and isinstance(given[0], str | list):
            return given  # type: ignore[return-value]  # a list has one kind
        return [given]  # type: ignore[return-value]


class Sample(Writing):
    """Sample of a session. ``watch`` adds the memory to every piece."""

    watch: bool = False


class Feed(Body):
    """Text, or inputs (symbols or vectors), to read. ``watch`` adds the memory afterwards."""

    text: str | None = None
    inputs: Tokens | Vectors | None = None
    watch: bool = False


class Act(Body):
    """Observation of an environment: a symbol or numbers.

    ``begin`` marks the first observation of an episode and resets the session. ``watch`` adds the memory afterwards.
    """

    observation: int | float | Annotated[list[float], Field(fail_fast=True)]
    begin: bool = False
    temperature: float = Field(0.0, ge=0, allow_inf_nan=False)
    seed: int | None = Field(None, ge=0)
    watch: bool = False

    def draws(self, step: int) -> torch.Generator:
        """Return the generator for a step of the session: from the seed, or a new one without a seed."""
        return generator(secrets.randbits(48) if self.seed is None else self.seed, "act", step)


class Forecast(Body):
    """Forecast of a series, given as ``text`` or ``inputs``: quantile levels over sample paths."""

    text: str | None = None
    inputs: Vectors | None = None
    steps: int = Field(24, ge=1)
    paths: int = Field(100, ge=1)
    levels: Annotated[list[float], Field(fail_fast=True, max_length=99)] = [0.05, 0.25, 0.5, 0.75, 0.95]
    seed: int = Field(0, ge=0)


NESTED: dict[str, type[Body]] = {"stream_options": StreamOptions}
