"""Generation of a session, piece by piece, until a stop or the length ends it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from nounroll.serve.elements import draw
from nounroll.serve.requests import Writing
from nounroll.serve.service import Service
from nounroll.serve.session import Mark, Session
from nounroll.serve.stops import Stops
from nounroll.serve.text import Decoder


@dataclass
class Element:
    """Generated element.

    Attributes:
        value: the element as JSON.
        start: number of characters before it.
        note: further information, such as log probabilities.
    """

    value: Any
    start: int
    note: Any = None


@dataclass
class Piece:
    """Piece of a generated text.

    Attributes:
        text: final characters. Characters that may begin a stop come later, with their elements.
        elements: the elements of the text.
        drawn: number of elements drawn so far, including those of a stop.
        finish_reason: reason for the end, or None.
        seen: further fields of the answer.
    """

    text: str
    elements: list[Element]
    drawn: int
    finish_reason: Literal["stop", "length"] | None = None
    seen: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Held:
    """Element that a stop may leave out: the end of its text, whether a character ends there, and the state before."""

    element: Element
    end: int
    whole: bool
    before: Mark | None


async def pieces(
    service: Service,
    session: Session,
    body: Writing,
    source: torch.Generator,
    *,
    note: Callable[[Tensor, Tensor], Any] | None = None,
    start: int = 0,
) -> AsyncGenerator[Piece]:
    """Generate text. The session's memory then has read exactly this text, without the stop.

    Args:
        service, session, body: the writer and its settings.
        source: the generator of the draws.
        note: function of the prediction before an element and the element.
        start: number of characters before the first element.
    """
    memories = service.sessions.memories
    decoder, stops, held = Decoder(service.task, session.decoder.context), Stops(body.stops), list[_Held]()
    text, base, drawn = "", 0, 0  # text not sent yet; length of the sent text; elements
    before = memories.mark(session) if body.stops else None
    async with aclosing(draw(service, session, body.max_tokens, body.sampling, source)) as elements:
        async for value, outputs in elements:
            drawn += 1
            element = Element(value.tolist(), start + base + len(text), note(outputs, value) if note else None)
            added = decoder.add(value)
            text += added
            held.append(_Held(element, base + len(text), not decoder.tail, before))
            before = memories.mark(session) if body.stops else None
            stops.add(added)
            if stops.found is not None:
                kept = _before(held, stops.found, base)
                if (mark := held[kept].before) is not None:
                    memories.go_back(session, mark)
                yield Piece(text[: stops.found - base], [one.element for one in held[:kept]], drawn, "stop")
                return
            sure = _sure(held, base + len(text) - stops.held) if body.stops else len(held)
            said = held[sure - 1].end - base if sure else 0
            yield Piece(text[:said], [one.element for one in held[:sure]], drawn)
            text, base, held = text[said:], base + said, held[sure:]
    yield Piece(text, [one.element for one in held], drawn, "length")


def _before(held: list[_Held], place: int, base: int) -> int:
    """Count the elements up to a place in the text; an element across the place is not counted."""
    if place == base:
        return 0
    first = next(i for i, one in enumerate(held) if one.end >= place)
    return first + (held[first].end == place)


def _sure(held: list[_Held], place: int) -> int:
    """Count the elements that end with a whole character before ``place``, where a stop may begin."""
    return max((i + 1 for i, one in enumerate(held) if one.whole and one.end <= place), default=0)
