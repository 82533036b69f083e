"""Writing of a session, piece by piece, until a stop or the length ends it."""

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
    """A written element.

    Attributes:
        value: itself, as JSON.
        start: characters of the text before it.
        note: what else is said of it.
    """

    value: Any
    start: int
    note: Any = None


@dataclass
class Piece:
    """A piece of a written text.

    Attributes:
        text: that is known; characters that may begin a stop come later, with their elements.
        elements: that wrote it.
        drawn: how many elements were, up to here; those of a stop included.
        finish_reason: why it ends here, or None.
        seen: what else an answer says of this instant.
    """

    text: str
    elements: list[Element]
    drawn: int
    finish_reason: Literal["stop", "length"] | None = None
    seen: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Held:
    """An element that a stop may leave out: the end of its text, whether a character ends there, and its past."""

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
    """Let a session write. Its memory then has read the text, without the stop and anything after it.

    Args:
        service, session, body: who writes, how much and how.
        source: of the draws.
        note: what is said of each element, of what was expected before it and of itself.
        start: characters of the text before the first.
    """
    memories = service.sessions.memories
    decoder, stops, held = Decoder(service.task, session.decoder.tail), Stops(body.stops), list[_Held]()
    text, base, drawn = "", 0, 0  # not said yet; how much was; elements
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
    """Count the elements whose text ends at a place, or before it where none ends there."""
    if place == base:
        return 0
    first = next(i for i, one in enumerate(held) if one.end >= place)
    return first + (held[first].end == place)


def _sure(held: list[_Held], place: int) -> int:
    """Count the elements with whole characters that end before a place where a stop may begin."""
    return max((i + 1 for i, one in enumerate(held) if one.whole and one.end <= place), default=0)
