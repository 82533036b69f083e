"""Search for texts that end an answer, in a growing text."""


class Stops:
    """Search for stops character by character (Knuth, Morris & Pratt 1977), at constant cost for each.

    Args:
        texts: the stops; none is empty.

    Attributes:
        held: number of characters at the end of the text that may begin a stop.
        found: place where the first stop begins; None before it is found.
    """

    def __init__(self, texts: list[str]) -> None:
        self._texts = [(text, _fallbacks(text)) for text in texts]
        self._matched = [0] * len(texts)  # characters of each stop at the end of the text
        self._length = 0
        self.held: int = 0
        self.found: int | None = None

    def add(self, text: str) -> None:
        """Extend the text, up to its first stop."""
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
    """Return the matched length of a stop after one more character."""
    while matched and (matched == len(stop) or stop[matched] != character):
        matched = fallbacks[matched - 1]
    return matched + (stop[matched] == character)


def _fallbacks(stop: str) -> list[int]:
    """Return, for each prefix of a stop, the length of its longest proper suffix that is also a prefix."""
    result = [0]
    for character in stop[1:]:
        result.append(_step(stop, result, result[-1], character))
    return result
