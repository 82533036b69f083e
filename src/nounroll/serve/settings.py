"""The limits of a server."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """What a server allows.

    Args:
        token: every request must carry it as ``Authorization: Bearer TOKEN``, but for the files of the page, which
            hold nothing of the model; None lets everyone in.
        slots: memories held at once: open sessions and running completions.
        queue: requests that may step at once, the waiting ones included.
        prompt: elements in one prompt or feed.
        tokens: elements drawn by one request.
        body: bytes of a request's body.
        body_seconds: for a request's body to arrive, in seconds.
        send_seconds: for a client to take the next part of an answer, in seconds.
    """

    token: str | None = None
    slots: int = 256
    queue: int = 128
    prompt: int = 8192
    tokens: int = 4096
    body: int = 1 << 20
    body_seconds: float = 30.0
    send_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.name != "token"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be more than 0")
        if self.token is not None and not (self.token.isascii() and self.token.strip()):
            raise ValueError("token is empty or not ASCII; give it characters, or leave it out")
