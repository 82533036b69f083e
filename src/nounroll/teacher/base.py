"""Teachers: an encoder E, a memory head, and a decoder D."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from nounroll.cells.base import MOST_LAYERS, constrain
from nounroll.core.ranges import at_least, within
from nounroll.core.registry import Registry
from nounroll.teacher.decoder import Decoder

TEACHERS: Registry[Any] = Registry(
    "teacher.kind",
    "nounroll.teachers",
    {
        "causal": "nounroll.teacher.causal:CausalEncoder",
        "slots": "nounroll.teacher.slots:SlotEncoder",
        "window": "nounroll.teacher.window:WindowEncoder",
        "transformers": "nounroll.teacher.pretrained:PretrainedEncoder",
    },
)
"""The encoders that a recipe can name: see ``Encoder``."""


@dataclass(frozen=True, kw_only=True)
class TeacherSettings:
    """Kind and size of the teacher.

    Args:
        kind: "causal" labels all prefixes in one pass; "slots" too, with memories that it writes one step at a time and
            decodes by its own trunk (``nounroll.teacher.slots``; ours); "window" is the paper's bidirectional encoder,
            with one pass per prefix; "transformers" labels by the states of a pretrained language model
            (``nounroll.teacher.pretrained``; ours). Installed packages may add others.
        path: folder of the pretrained model, as transformers saves it.
        frozen: keep the pretrained model unchanged: only memories, cell and readout learn from it.
        distillation: weight of the pretrained model's predictions in the targets of the student's readout, in SMT and
            in DMT (Hinton et al. 2015, arXiv 1503.02531): 0 uses only the true targets, 1 only the model's
            distribution.
        width: width of the encoder and the decoder; even.
        layers: number of blocks of the encoder.
        token_shift: add the previous input to each input, before the first block (causal encoder, decoder).
        decoder_layers: number of blocks of the decoder; 0 removes the decoder, so that only the dense readout is left.
            The decoder of "slots" is its trunk, of ``layers`` blocks, unless this is 0.
        horizon: T_f, targets that the decoder predicts from one memory of each sequence; 0 is all later ones.
    """

    kind: str = "causal"
    path: str = ""
    frozen: bool = False
    distillation: float = 0.0
    width: int = 64
    layers: int = 2
    token_shift: bool = True
    decoder_layers: int = 1
    horizon: int = 16

    def __post_init__(self) -> None:
        TEACHERS.check(self.kind)
        self._check_pretrained()
        least = {"width": 2, "layers": 1, "decoder_layers": 0, "horizon": 0}
        for name, value in least.items():
            at_least(f"teacher.{name}", getattr(self, name), value)
        for name in ("layers", "decoder_layers"):
            if getattr(self, name) > MOST_LAYERS:
                raise ValueError(f"teacher.{name} is {getattr(self, name)}; it must be at most {MOST_LAYERS}")
        if self.width % 2:
            raise ValueError(f"teacher.width is {self.width}; it must be even")

    @property
    def heads(self) -> int:
        """Attention heads of encoder and decoder: 4, if each then has an even width of 4 or more, else 2 or 1."""
        return next((h for h in (4, 2) if self.width >= 4 * h and self.width % (2 * h) == 0), 1)

    def _check_pretrained(self) -> None:
        within("teacher.distillation", self.distillation, 0, 1)
        if self.kind == "transformers":
            if not self.path:
                raise ValueError("teacher.path is ''; with teacher.kind transformers it must be the folder of a model")
            return
        for name in ("path", "frozen", "distillation"):
            if value := getattr(self, name):
                raise ValueError(f"teacher.{name} is {value!r}; it is for teacher.kind transformers alone")


def without_heads(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Copy settings without ``heads``, which 0.2.0 could set, if a teacher of this width still has that number."""
    width = settings.get("width", TeacherSettings.width)
    even = "heads" in settings and isinstance(width, int) and width > 0 and width % 2 == 0
    fixed = even and settings["heads"] == TeacherSettings(width=width).heads
    return {name: value for name, value in settings.items() if name != "heads" or not fixed}


class Encoder(Protocol):
    """Map from prefixes to vectors, in two parts: one shared by all positions, one for the chosen positions.

    It is a module, made from (settings, inputs, targets, memory_shape, recompute=). The vectors are hidden states of
    size ``width``, or complete memories if the encoder makes memories itself: then it has no ``width``.

    ``positions`` index memories: 0 is the empty prefix, t + 1 is x_0 .. x_t; None is all of them. ``all_at_once`` means
    that positions share the reading of inputs, so that a further position costs almost nothing.

    Optional: ``decoder(horizon)`` makes its own decoder, with ``shares_decoder`` True if that shares weights with the
    encoder; ``look_back``, ``kept``, ``held``, ``longest`` and ``long_enough`` are described in ``Teacher``.
    """

    all_at_once: bool

    def read(self, inputs: Shaped[Tensor, "B T *x"]) -> Shaped[Tensor, "B n *y"]: ...

    def at(self, read: Shaped[Tensor, "B n *y"], positions: Int[Tensor, "B S"] | None) -> Float[Tensor, "B S n"]: ...


class Teacher(nn.Module):
    """Encoder, memory head and decoder.

    The memory head is a linear map to K d numbers, or nothing if the encoder makes memories itself. The numbers pass
    through the cell's ``constrain``, so that every label is a memory that the cell can hold.

    Args:
        settings: settings of all parts.
        cell: the cell whose memories are labelled.
        encoder: an ``Encoder``.
        head: the encoder's vectors -> K d numbers.
        decoder: None if there is no decoder.
    """

    def __init__(
        self, settings: TeacherSettings, cell: object, encoder: nn.Module, head: nn.Module, decoder: Decoder | None
    ) -> None:
        super().__init__()
        self.settings = settings
        self.encoder: Any = encoder
        self._cell: tuple[Any] = (cell,)  # in a tuple: the cell's weights are the student's, not the teacher's
        self.memory_shape: tuple[int, int] = tuple(cell.memory_shape)  # type: ignore[attr-defined]
        self.head, self.decoder = head, decoder

    @property
    def cell(self) -> Any:
        """The cell whose memories are labelled."""
        return self._cell[0]

    def memories(
        self, inputs: Shaped[Tensor, "B T *x"], positions: Int[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B S K d"]:
        """Compute the memory labels at ``positions`` (0 .. T); by default at all T + 1 of them."""
        return self.labels(self.read(inputs), positions)

    def read(self, inputs: Shaped[Tensor, "B T *x"]) -> Shaped[Tensor, "B n *y"]:
        """Read the inputs once, for several calls of ``labels``.

        Raises:
            ValueError: there are more inputs than the teacher can read.
        """
        self.check_length(inputs.shape[1])
        return self.encoder.read(inputs)

    def labels(
        self, read: Shaped[Tensor, "B n *y"], positions: Int[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B S K d"]:
        """Compute ``memories`` from the result of ``read``."""
        return self._constrained(self.encoder.at(read, positions))

    def kept(self, inputs: Shaped[Tensor, "B T *x"]) -> tuple[Float[Tensor, "B T1 K d"], Bool[Tensor, "K d"] | None]:
        """Return all labels, and which of their coordinates are kept for later steps; None means all.

        The other coordinates matter only for their own step. They are not computed; a constant replaces them.
        """
        if not hasattr(self.encoder, "kept"):
            return self.memories(inputs), None
        found, begin = None, 0
        for part in map(self._constrained, self.encoder.kept(inputs)):
            found = part.new_empty(len(inputs), inputs.shape[1] + 1, *self.memory_shape) if found is None else found
            end = begin + part.shape[1]
            found[:, begin:end], begin = part, end
        assert found is not None
        return found, self.encoder.kept_coordinates().view(self.memory_shape)

    def _constrained(self, numbers: Float[Tensor, "B S n"]) -> Float[Tensor, "B S K d"]:
        return constrain(self._cell[0], self.head(numbers).unflatten(-1, self.memory_shape))

    def look_back(self, read: Shaped[Tensor, "B n *y"]) -> Float[Tensor, "B T V"] | None:
        """Predict y_t from x_0 .. x_t by an encoder with its own predictions; None for other encoders."""
        return self.encoder.look_back(read) if self.answers else None

    @property
    def answers(self) -> bool:
        """Return whether the encoder makes its own predictions."""
        return hasattr(self.encoder, "look_back") and getattr(self.encoder, "answers", True)

    def held(self) -> Iterator[nn.Parameter]:
        """Yield the weights of a frozen model, which are used but not trained."""
        return self.encoder.held() if hasattr(self.encoder, "held") else iter(())

    @property
    def longest(self) -> int | None:
        """Largest number of inputs that the teacher can read; None if there is no limit."""
        return getattr(self.encoder, "longest", None)

    @property
    def long_enough(self) -> int | None:
        """Length from which longer sequences teach the encoder nothing new; None if no length is known.

        With a curriculum, an encoder trains on no longer sequences, if a method after SMT trains at the whole length.
        """
        return getattr(self.encoder, "long_enough", None)

    def check_length(self, length: int) -> None:
        """Raise ValueError for more inputs than the teacher can read."""
        if self.longest is not None and length > self.longest:
            raise ValueError(
                f"length is {length}; the model in teacher.path reads at most {self.longest} tokens after its start:"
                " lower it, or take a model of longer texts"
            )

    @property
    def shares_decoder(self) -> bool:
        """Return whether the decoder shares weights with the encoder, so that training it changes the labels."""
        return getattr(self.encoder, "shares_decoder", False)

    def empty_memory(self, inputs: Shaped[Tensor, "B T *x"]) -> Float[Tensor, "K d"]:
        """Return m_∅, the label of the empty prefix. Only the form of ``inputs`` matters, not their values."""
        return self.memories(inputs[:1, :1], torch.zeros(1, 1, dtype=torch.int64, device=inputs.device))[0, 0]
