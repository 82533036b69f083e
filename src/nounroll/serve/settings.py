"""Settings of a server: its limits."""

from dataclasses import dataclass, fields
from urllib.parse import urlsplit

STOPS, STOP_BYTES = 4, 1024  # texts that may end an answer, and bytes of each in UTF-8


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Limits of a server.

    Args:
        token: every request must send ``Authorization: Bearer TOKEN``, except for ``/health`` and the files of the
            page, which hold nothing of the model; None lets everyone in.
        hosts: host names that clients may use; any name if empty.
        origins: web addresses, besides the server's own, whose pages may use it.
        slots: memories held at once: open sessions and running completions. Sessions leave a quarter of them free.
        queue: active and waiting answers, at most.
        prompt: elements in one prompt or feed, at most.
        tokens: elements drawn for one answer, at most.
        body: bytes of a request's body, at most.
        idle: seconds after which an unused session is closed.
        body_seconds: deadline for a request's body to arrive.
        send_seconds: deadline for a client to read the next part of an answer.
    """

    token: str | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    slots: int = 256
    queue: int = 128
    prompt: int = 8192
    tokens: int = 4096
    body: int = 1 << 20
    idle: float = 3600.0
    body_seconds: float = 30.0
    send_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.name not in ("token", "hosts", "origins")):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be more than 0")
        if self.token is not None and not (self.token.isascii() and self.token.strip()):
            raise ValueError("token is empty or not ASCII; give it characters, or leave it out")
        for origin in self.origins:
            parts = urlsplit(origin)
            if (
                parts.scheme not in ("http", "https")
                or not parts.netloc
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"origins holds {origin!r}; write each as https://example.com, without a path")

    @property
    def most_sessions(self) -> int:
        """Largest number of sessions that may be open."""
        return self.slots - self.slots // 4
