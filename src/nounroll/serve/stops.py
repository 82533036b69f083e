"""Texts that end an answer, looked for in a text that grows."""


class Stops:
    """Looks for stops character by character (Knuth, Morris & Pratt 1977), at the same cost for each.

    Args:
        texts: none of them empty.

    Attributes:
        held: so many characters at the end of the text may begin a stop.
        found: where the stop begins that ended the text; None before.
    """

    def __init__(self, texts: list[str]) -> None:
        self._texts = [(text, _fallbacks(text)) for text in texts]
        self._matched = [0] * len(texts)  # characters of each that the text ends with
        self._length = 0
        self.held: int = 0
        self.found: int | None = None

    def add(self, text: str) -> None:
        """Let the text grow, up to the first stop in it."""
        for character in text if self._texts else "":
            if self.found is not None:
                return
            self._length += 1
            for i, (stop, fallbacks) in enumerate(self._texts):
                self._matched[i] = _step(stop, fallbacks, self._matched[i], character)
            ended = [
                matched for (stop, _), matched in zip(self._texts, self._matched, strict=True) if matched == len(stop)
            ]
            if ended:
                self.found = self._length - max(ended)
        self.held = max(self._matched, default=0)


def _step(stop: str, fallbacks: list[int], matched: int, character: str) -> int:
    """Return how much of a stop a text ends with after one more character."""
    while matched and (matched == len(stop) or stop[matched] != character):
        matched = fallbacks[matched - 1]
    return matched + (stop[matched] == character)


def _fallbacks(stop: str) -> list[int]:
    """Find, for each beginning of a stop, the longest shorter one that it ends with."""
    result = [0]
    for character in stop[1:]:
        result.append(_step(stop, result, result[-1], character))
    return result
