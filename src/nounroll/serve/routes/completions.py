"""OpenAI's routes: models and completions."""

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any

from fastapi import APIRouter, HTTPException, Response
from torch import Tensor

from nounroll.serve import logprobs
from nounroll.serve.answer import answer, merged
from nounroll.serve.elements import read
from nounroll.serve.requests import Completion
from nounroll.serve.service import Served, Service
from nounroll.serve.session import Session
from nounroll.serve.text import Decoder
from nounroll.serve.writing import Element, Piece, pieces

router = APIRouter()


@router.get("/v1/models")
async def models(service: Served) -> dict[str, Any]:
    return {"object": "list", "data": [await model(service, service.name)]}


@router.get("/v1/models/{id}")
async def model(service: Served, id: str) -> dict[str, Any]:
    _check_model(service, id)
    return {"id": id, "object": "model", "created": 0, "owned_by": "nounroll"}


@router.post("/v1/completions")
async def completions(service: Served, body: Completion) -> Response:
    _check(service, body)
    prompts = [service.read(prompt) for prompt in body.prompts]
    choices = [_Choice(service, body, prompt, number) for prompt in prompts for number in range(body.n)]
    head = {"id": f"cmpl-{token_urlsafe(12)}", "object": "text_completion", "created": int(time.time())}
    head["model"] = service.name
    drawn = [0] * len(choices)

    async def written() -> AsyncGenerator[tuple[int, Piece]]:
        async with service.sessions.passing(len(choices)) as sessions:
            sources = [choice.written(session) for choice, session in zip(choices, sessions, strict=True)]
            async for index, piece in merged(sources):
                drawn[index] = piece.drawn
                yield index, piece

    def frame(written: list[tuple[int, Piece]]) -> dict[str, Any]:
        said: dict[int, list[Piece]] = {}
        for index, piece in written:
            said.setdefault(index, []).append(piece)
        choices = [_choice(index, said[index], body) for index in sorted(said)]
        return {**head, "choices": choices, **({} if body.stream else {"usage": usage()})}

    def usage() -> dict[str, int]:
        read, wrote = sum(map(len, prompts)), sum(drawn)
        return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}

    def closing() -> dict[str, Any]:
        return {**head, "choices": [], "usage": usage()}

    closed = closing if body.stream_options.include_usage else None
    return await answer(written(), frame, stream=body.stream, closing=closed)


@dataclass(frozen=True)
class _Choice:
    """Answer of a completion: its prompt, and its number among the answers to this prompt."""

    service: Service
    body: Completion
    prompt: Tensor
    number: int

    async def written(self, session: Session) -> AsyncGenerator[Piece]:
        """Write the prompt, if it is echoed, and its continuation."""
        task, body = self.service.task, self.body
        note = None if body.logprobs is None else logprobs.told(task, body.logprobs)
        notes, _ = await read(self.service, session, self.prompt, note if body.echo else None)
        text = ""
        if body.echo:
            decoder, elements = Decoder(task), list[Element]()
            for i, value in enumerate(self.prompt):
                first = {"token": logprobs.token(task, value), "logprob": None, "top": None}
                elements.append(Element(value.tolist(), len(text), (notes[i] or first) if note else None))
                text += decoder.add(value)
            yield Piece(text, elements, 0)
        source = body.draws(self.number)
        async for piece in pieces(self.service, session, body, source, note=note, start=len(text)):
            if piece.finish_reason == "length":
                piece.text += session.decoder.end()
            yield piece


def _choice(index: int, pieces: list[Piece], body: Completion) -> dict[str, Any]:
    """Build the entry of some pieces of one answer."""
    elements = [element for piece in pieces for element in piece.elements]
    return {
        "index": index,
        "text": "".join(piece.text for piece in pieces),
        "logprobs": None if body.logprobs is None else logprobs.listed(elements),
        "finish_reason": pieces[-1].finish_reason,
    }


def _check(service: Service, body: Completion) -> None:
    """Refuse options that the model does not support."""
    _check_model(service, body.model)
    service.check_may_write(body, len(body.prompts) * body.n)
    if body.best_of not in (None, body.n):
        raise ValueError(f"best_of is {body.best_of}; this server returns every answer, so it must be n or left out")
    if body.logprobs is not None and service.task.targets.symbols is None:
        raise ValueError(f"logprobs is {body.logprobs}; this model's targets are {service.task.targets}, not symbols")


def _check_model(service: Service, name: str) -> None:
    if name != service.name:
        raise HTTPException(404, f"model is {name!r}; this server has {service.name!r}")
