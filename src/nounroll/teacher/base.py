"""Teachers: an encoder E, a memory head, and a decoder D."""

from collections.abc import Iterator
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
    """The teacher's form and size.

    Args:
        kind: "causal" labels all prefixes in one pass; "slots" does, by memories that it writes one step at a time
            and its own trunk decodes (``nounroll.teacher.slots``; ours); "window" is the paper's bidirectional encoder,
            one pass a prefix; "transformers" labels by the states of a language model that was trained before
            (``nounroll.teacher.pretrained``; ours). An installed package may add others.
        path: folder of that model, as transformers saves it.
        frozen: keep that model as it is: memories, cell and readout learn from it.
        distillation: share of what that model expects next in the targets of the student's readout, in SMT and in DMT
            (Hinton et al. 2015, arXiv 1503.02531): 0 is the true targets alone, 1 the model's distribution alone.
        width: of the encoder and the decoder.
        layers: blocks of the encoder.
        heads: attention heads of both.
        token_shift: mix each input with the one before it, ahead of the first block (causal encoder, decoder).
        decoder_layers: blocks of the decoder; 0 leaves the decoder out and the dense readout alone remains. That of
            "slots" is its trunk, of ``layers`` blocks, unless this is 0.
        horizon: T_f, targets that the decoder predicts from one memory of each sequence; 0 is all that follow.
    """

    kind: str = "causal"
    path: str = ""
    frozen: bool = False
    distillation: float = 0.0
    width: int = 64
    layers: int = 2
    heads: int = 4
    token_shift: bool = True
    decoder_layers: int = 1
    horizon: int = 16

    def __post_init__(self) -> None:
        TEACHERS.check(self.kind)
        self._check_pretrained()
        least = {"width": 2, "layers": 1, "heads": 1, "decoder_layers": 0, "horizon": 0}
        for name, value in least.items():
            at_least(f"teacher.{name}", getattr(self, name), value)
        for name in ("layers", "decoder_layers"):
            if getattr(self, name) > MOST_LAYERS:
                raise ValueError(f"teacher.{name} is {getattr(self, name)}; it must be at most {MOST_LAYERS}")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(
                f"teacher.heads is {self.heads}; it must divide teacher.width {self.width} into even head widths"
            )

    def _check_pretrained(self) -> None:
        within("teacher.distillation", self.distillation, 0, 1)
        if self.kind == "transformers":
            if not self.path:
                raise ValueError("teacher.path is ''; with teacher.kind transformers it must be the folder of a model")
            return
        for name in ("path", "frozen", "distillation"):
            if value := getattr(self, name):
                raise ValueError(f"teacher.{name} is {value!r}; it is for teacher.kind transformers alone")


class Encoder(Protocol):
    """Prefixes -> numbers, in two parts: one that all positions share, and one at the chosen positions.

    It is a module, made from (settings, inputs, targets, memory_shape, recompute=). The numbers are hidden states,
    ``width`` of them, or those of a memory where the encoder makes these itself: then it has no ``width``.

    ``positions`` index memories: 0 is the empty prefix, t + 1 is x_0 .. x_t; None is all of them. ``all_at_once`` says
    that positions share what was read, so that a further one costs next to nothing.

    Optional: ``decoder(horizon)`` makes its own decoder, with ``shares_decoder`` True where that has weights of the
    encoder's; ``look_back``, ``kept``, ``held`` and ``longest`` are as ``Teacher`` has them.
    """

    all_at_once: bool

    def read(self, inputs: Shaped[Tensor, "B T *x"]) -> Shaped[Tensor, "B n *y"]: ...

    def at(self, read: Shaped[Tensor, "B n *y"], positions: Int[Tensor, "B S"] | None) -> Float[Tensor, "B S n"]: ...


class Teacher(nn.Module):
    """E, the memory head and D.

    The memory head is a linear map to K d numbers, or none where the encoder makes these. They are passed through the
    cell's ``constrain``, so that every label is a memory that the cell can hold.

    Args:
        settings: of all.
        cell: whose memories are labelled.
        encoder: an ``Encoder``.
        head: its numbers -> K d numbers.
        decoder: None where there is none.
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
        """Whose memories are labelled."""
        return self._cell[0]

    def memories(
        self, inputs: Shaped[Tensor, "B T *x"], positions: Int[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B S K d"]:
        """Memory labels at ``positions`` (0 .. T); at all T + 1 of them when left out."""
        return self.labels(self.read(inputs), positions)

    def read(self, inputs: Shaped[Tensor, "B T *x"]) -> Shaped[Tensor, "B n *y"]:
        """Read the inputs once, for ``labels`` at some positions after others.

        Raises:
            ValueError: there are more inputs than it can read.
        """
        self.check_length(inputs.shape[1])
        return self.encoder.read(inputs)

    def labels(
        self, read: Shaped[Tensor, "B n *y"], positions: Int[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B S K d"]:
        """``memories`` of the inputs that were ``read``."""
        return self._constrained(self.encoder.at(read, positions))

    def kept(self, inputs: Shaped[Tensor, "B T *x"]) -> tuple[Float[Tensor, "B T1 K d"], Bool[Tensor, "K d"] | None]:
        """All labels, and which of their numbers are there for later steps; None is all.

        The others are for their own step alone. They are not computed, and some constant stands in their place.
        """
        if not hasattr(self.encoder, "kept"):
            return self.memories(inputs), None
        numbers, kept = self.encoder.kept(inputs)
        return self._constrained(numbers), kept.view(self.memory_shape)

    def _constrained(self, numbers: Float[Tensor, "B S n"]) -> Float[Tensor, "B S K d"]:
        return constrain(self._cell[0], self.head(numbers).unflatten(-1, self.memory_shape))

    def look_back(self, read: Shaped[Tensor, "B n *y"]) -> Float[Tensor, "B T V"] | None:
        """Predict y_t from x_0 .. x_t by an encoder that answers for itself; None of another."""
        return self.encoder.look_back(read) if self.answers else None

    @property
    def answers(self) -> bool:
        """Return whether the encoder answers for itself."""
        return hasattr(self.encoder, "look_back") and getattr(self.encoder, "answers", True)

    def held(self) -> Iterator[nn.Parameter]:
        """Weights of a frozen model, which are needed and not trained."""
        return self.encoder.held() if hasattr(self.encoder, "held") else iter(())

    @property
    def longest(self) -> int | None:
        """Inputs that it can read at most; None where there is no limit."""
        return getattr(self.encoder, "longest", None)

    def check_length(self, length: int) -> None:
        """Raise ValueError for more inputs than it can read."""
        if self.longest is not None and length > self.longest:
            raise ValueError(
                f"length is {length}; the model in teacher.path reads at most {self.longest} tokens after its start:"
                " lower it, or take a model of longer texts"
            )

    @property
    def shares_decoder(self) -> bool:
        """Return whether the decoder has weights of the encoder's, so that to train it moves the labels."""
        return getattr(self.encoder, "shares_decoder", False)

    def empty_memory(self, inputs: Shaped[Tensor, "B T *x"]) -> Float[Tensor, "K d"]:
        """m_∅: the label of the empty prefix. ``inputs`` lend their form only; no value of theirs is read."""
        return self.memories(inputs[:1, :1], torch.zeros(1, 1, dtype=torch.int64, device=inputs.device))[0, 0]
