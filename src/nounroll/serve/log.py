"""Log of the server: a handler that limits the number and the length of records."""

import logging
import time
from typing import Any, TextIO

_RECORDS = 20  # per minute
_MINUTE = 60.0
_LENGTH = 4000  # characters of a record, including the traceback


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Handler that writes to stderr at most 20 records a minute, each at most 4,000 characters.

    So clients cannot fill the disk. The first record of a minute gives the number of records left out before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_Shortened("%(levelname)s: %(message)s"))
        self._minute, self._written, self._left_out = float("-inf"), 0, 0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._minute >= _MINUTE:
            if self._left_out:
                self.stream.write(f"{self._left_out} records were left out of the log\n")
            self._minute, self._written, self._left_out = now, 0, 0
        if self._written < _RECORDS:
            self._written += 1
            super().emit(record)
        else:
            self._left_out += 1


class _Shortened(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}… ({len(text)} characters)"


# For logging.config.dictConfig. "asyncio" reports missing descriptors and failed callbacks.
CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"limited": {"()": LimitedHandler}},
    "loggers": {
        name: {"handlers": ["limited"], "level": "WARNING", "propagate": False}
        for name in ("uvicorn", "asyncio", "nounroll.serve")
    },
}
