"""The tasks of benchmarks/spaces.py: sequences of elements that predict the next, and how a plain LSTM reads them."""

import importlib
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from suite_tasks import sources
from torch import Tensor

import nounroll
from nounroll.core.spaces import Space

_HALF_LOG = 0.5 * math.log(2 * math.pi)
NAMES = ("soprano", "alto", "tenor", "bass")


class Sequences(nounroll.SequenceTask):
    """Elements, each of which predicts the next, and the plain tensors of a rival.

    Attributes:
        title: of the table.
        length: T.
        seconds: budget.
        plain_inputs, plain_outputs: numbers that the rival reads and gives for an element.
        settings: of ``nounroll.fit``, where any is set.
    """

    autoregressive = True
    title: ClassVar[str]
    seconds: ClassVar[float]
    length: int
    plain_inputs: int
    plain_outputs: int
    settings: ClassVar[dict[str, Any]] = {}

    @abstractmethod
    def whole(self) -> nounroll.Batch:
        """All of a part."""

    @abstractmethod
    def plain(self, inputs: Tensor) -> Tensor:
        """What the rival reads."""

    @abstractmethod
    def plain_nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Nats of each element by the rival's outputs."""

    def floor(self) -> float | None:
        """Nats of the process that made the data, where it is known."""
        return None


class Chorales(Sequences):
    """Settings of melodies by Bach for four voices, up to 64 quarters of each; those of one melody are in one part.

    What sounds at the start of every quarter is a frame. The split is that of ``suite_tasks.chorales``.
    """

    length = 63
    lengths = "any"

    def __init__(self, part: str = "train") -> None:
        chorales = importlib.import_module("suite_tasks.chorales")
        paths = sources.packaged("music21", "bach/bwv*.mxl")
        pieces = [torch.tensor(piece) for path in paths if (piece := chorales._voices(path)) is not None]
        parts = [chorales._part([tuple(frame) for frame in piece.tolist()]) for piece in pieces]
        sounding = torch.cat(pieces)
        self.low = torch.where(sounding > 0, sounding, 999).amin(0)
        self.high = sounding.amax(0)
        self.inputs = self.targets = self.space()
        self.pieces = {name: [p for p, own in zip(pieces, parts, strict=True) if own == name] for name in set(parts)}
        self._choose(part)

    def _choose(self, part: str) -> None:
        self.rows = [self.frames(piece) for piece in self.pieces[part]]
        self.part, self.size, self.max_length = part, len(self.rows), self.length

    def _over(self, part: str) -> "Chorales":
        sibling = object.__new__(type(self))
        sibling.__dict__.update(self.__dict__)
        sibling._choose(part)
        return sibling

    def validation(self) -> "Chorales":
        return self._over("validation")

    def test(self) -> "Chorales":
        return self._over("test")

    def whole(self) -> nounroll.Batch:
        return self.take(torch.arange(len(self.rows)), self.length)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> nounroll.Batch:
        return self.take(torch.randint(len(self.rows), (batch_size,), generator=generator), length)

    def take(self, indices: Tensor, length: int) -> nounroll.Batch:
        return self.batch([self.rows[i] for i in indices.tolist()], length)

    def batch(self, rows: list[Tensor], length: int) -> nounroll.Batch:
        """Rows beside each other, padded at the end."""
        x = self.inputs.zeros(len(rows), length)
        y, mask = x.clone(), torch.zeros(len(rows), length, dtype=torch.bool)
        for i, row in enumerate(rows):
            steps = min(length, len(row) - 1)
            x[i, :steps], y[i, :steps], mask[i, :steps] = row[:steps], row[1 : steps + 1], True
        return nounroll.Batch(x, y, mask)

    def stored(self) -> list[Any]:
        return [piece.numpy() for part in ("train", "validation", "test") for piece in self.pieces[part]]

    @abstractmethod
    def space(self) -> Space: ...

    @abstractmethod
    def frames(self, piece: Tensor) -> Tensor:
        """The elements of a piece (T, 4) of pitches, 0 for a rest."""


class ChoralesBits(Chorales):
    """A key of the piano is a bit."""

    title, seconds = "chorales, a frame as Bits", 45.0

    def space(self) -> Space:
        self.keys = int(self.high.max() - self.low.min()) + 1
        self.plain_inputs = self.plain_outputs = self.keys
        return nounroll.Bits(self.keys)

    def frames(self, piece: Tensor) -> Tensor:
        keys = torch.arange(self.keys) + int(self.low.min())
        return (piece[..., None] == keys).any(1).float()

    def plain(self, inputs: Tensor) -> Tensor:
        return inputs

    def plain_nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs, targets, reduction="none").sum(-1)


class ChoralesVoices(Chorales):
    """Each voice is a symbol of its range, 0 for a rest; a voice is predicted from those above it too.

    Training pieces are transposed at random, as far as every voice stays in its range.
    """

    title, seconds = "chorales, a frame as a chained Product of four voices", 60.0

    def space(self) -> Space:
        sizes = (self.high - self.low + 2).tolist()
        self.sizes = sizes
        self.plain_inputs = self.plain_outputs = sum(sizes)
        return nounroll.Product(chained=True, **{n: nounroll.Categorical(s) for n, s in zip(NAMES, sizes, strict=True)})

    def _choose(self, part: str) -> None:
        super()._choose(part)
        if part == "train":
            self.size = None  # transposed pieces are endless

    def frames(self, piece: Tensor) -> Tensor:
        return torch.where(piece > 0, piece - self.low + 1, 0).float()

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> nounroll.Batch:
        if self.part != "train":
            return super().sample(batch_size, length, generator)
        rows = []
        for i in torch.randint(len(self.rows), (batch_size,), generator=generator).tolist():
            piece = self.pieces["train"][i]
            low, high = torch.where(piece > 0, piece, 999).amin(0), piece.amax(0)
            shifts = range(int((self.low - low).amax()), int((self.high - high).amin()) + 1)
            shift = shifts[int(torch.randint(len(shifts), (1,), generator=generator))]
            rows.append(self.frames(torch.where(piece > 0, piece + shift, 0)))
        return self.batch(rows, length)

    def plain(self, inputs: Tensor) -> Tensor:
        return torch.cat(
            [F.one_hot(v.long(), n) for v, n in zip(inputs.unbind(-1), self.sizes, strict=True)], -1
        ).float()

    def plain_nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        pairs = zip(outputs.split(self.sizes, -1), targets.long().unbind(-1), strict=True)
        return sum((F.cross_entropy(o.transpose(1, 2), y, reduction="none") for o, y in pairs), torch.zeros(()))


class Drawn(Sequences):
    """Sequences that are made up."""

    @abstractmethod
    def rates(self, student: Any, seed: int) -> dict[str, Any]:
        """How often things happen in what a student writes, over how often they do in the data."""


class Events(Drawn):
    """A marked point process: the kind of an event, the gap since the one before, and a value.

    ::

        kind    k' ~ P[k, k'], by another table where the last gap was short
        gap     exponential, of the rate of k times 1 + 2 e, e the events of late, each forgotten within about 2
        value   v' = 0.8 v + 0.3 n, v the last value of the same kind, n a normal number
    """

    title, seconds = "events: kind, gap and value, a chained Product", 45.0
    length = 64
    lengths = "any"
    kinds = 4
    _seeds: ClassVar[dict[str, int]] = {"validation": 7_000_001, "test": 9_000_001}

    def __init__(self, part: str = "train") -> None:
        self.part = part
        self.inputs = self.targets = nounroll.Product(
            chained=True,
            kind=nounroll.Categorical(self.kinds),
            gap=nounroll.Positive(1),
            value=nounroll.Real(1),
        )
        self.plain_inputs, self.plain_outputs = self.kinds + 2, self.kinds + 4
        table = torch.Generator().manual_seed(5)
        self.tables = torch.randn(2, self.kinds, self.kinds, generator=table).softmax(-1)
        self.speeds = torch.tensor([0.5, 1.0, 2.0, 4.0])

    def validation(self) -> "Events":
        return Events("validation")

    def test(self) -> "Events":
        return Events("test")

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> nounroll.Batch:
        return nounroll.Batch.next_step(self.draw(batch_size, length + 1, generator)[0])

    def whole(self) -> nounroll.Batch:
        rows = 256 if self.part == "validation" else 1024
        return self.sample(rows, self.length, torch.Generator().manual_seed(self._seeds[self.part]))

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sequences of events (rows, length, 3), and the nats of each event by the process itself."""
        kind = torch.randint(self.kinds, (rows,), generator=generator)
        gap, late = torch.ones(rows), torch.zeros(rows)
        values, all_rows = torch.zeros(rows, self.kinds), torch.arange(rows)
        events, nats = [], []
        for _ in range(length + 20):  # the first events are those of no past
            chances = self.tables[(gap < 0.3).long(), kind]
            rate = self.speeds[kind] * (1 + 2 * late)
            kind = torch.multinomial(chances, 1, generator=generator)[:, 0]
            gap = (torch.empty(rows).exponential_(generator=generator) / rate).clamp(min=1e-6)
            late = (late + 0.5) * torch.exp(-gap / 2) * 0.6
            noise = torch.randn(rows, generator=generator)
            values[all_rows, kind] = 0.8 * values[all_rows, kind] + 0.3 * noise
            value = values[all_rows, kind]
            events.append(torch.stack([kind.float(), gap, value], -1))
            surprise = -chances.gather(1, kind[:, None])[:, 0].log() - rate.log() + rate * gap
            nats.append(surprise + 0.5 * noise**2 + math.log(0.3) + _HALF_LOG)
        return torch.stack(events, 1)[:, 20:], torch.stack(nats, 1)[:, 20:]

    def floor(self) -> float:
        nats = self.draw(1024, self.length + 1, torch.Generator().manual_seed(self._seeds["test"]))[1]
        return float(nats[:, 1:].double().mean())

    def plain(self, inputs: Tensor) -> Tensor:
        kinds = F.one_hot(inputs[..., 0].long(), self.kinds)
        return torch.cat([kinds, inputs[..., 1:2].log(), inputs[..., 2:]], -1)

    def plain_nll(self, outputs: Tensor, targets: Tensor) -> Tensor:
        logits, (mean, scale, place, width) = outputs[..., : self.kinds], outputs[..., self.kinds :].unbind(-1)
        kind, logs = targets[..., 0].long(), targets[..., 1].log()
        gap = 0.5 * ((logs - mean) * (-scale).exp()) ** 2 + scale + _HALF_LOG + logs
        value = 0.5 * ((targets[..., 2] - place) * (-width).exp()) ** 2 + width + _HALF_LOG
        return F.cross_entropy(logits.transpose(1, 2), kind, reduction="none") + gap + value

    def rates(self, student: Any, seed: int) -> dict[str, Any]:
        real = self.draw(2048, 256, torch.Generator().manual_seed(11))[0][:, 64:]
        prompt = self.draw(2048, 64, torch.Generator().manual_seed(12))[0]
        written = student.generate(prompt, 192, generator=torch.Generator().manual_seed(seed))
        ratio = self._happens(written) / self._happens(real)
        return {"rates": ratio.tolist(), "worst_rate": float(ratio[(ratio - 1).abs().argmax()])}

    def _happens(self, events: Tensor) -> Tensor:
        """Events a unit of time: all, and of each kind."""
        time = events[..., 1].double().sum()
        counts = events[..., 0].long().flatten().bincount(minlength=self.kinds).double()
        return torch.cat([counts.sum()[None], counts]) / time


TASKS: dict[str, Callable[[], Sequences]] = {
    "chorales-bits": ChoralesBits,
    "chorales-voices": ChoralesVoices,
    "events": Events,
}
