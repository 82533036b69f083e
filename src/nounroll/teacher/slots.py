"""Slot teacher: a gated linear recurrence writes slots of memory, and one trunk reads and decodes them.

A causal Transformer predicts by looking back, and nothing makes a linear map of its states hold what later targets
need. Here the memory is written separately, from the same information that the student will have: the last two inputs.
A label is therefore the result of one step from the label before it. The same trunk, with the same weights, must also
predict later targets from the slots alone, in place of the past.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Inexact, Int, Shaped
from torch import Tensor, nn

from nounroll.core.batch import Space
from nounroll.nn.block import Transformer
from nounroll.nn.embedding import InputEmbedding
from nounroll.nn.norm import rms_normalise
from nounroll.nn.outputs import Outputs
from nounroll.nn.recompute import again
from nounroll.nn.scan import affine_scan
from nounroll.nn.shift import TokenShift
from nounroll.teacher.base import TeacherSettings
from nounroll.teacher.decoder import Decoder, predicting
from nounroll.teacher.phases import Phases

FEWEST = 3  # smallest number of values of a memory
_SIZE = 16  # values of a slot, if the memory has enough
_SMALLEST = 4  # number of slots of a small memory
_WITH_PHASES = 8  # number of slots from which one is used for phases
_PART = 512  # time steps that are written together when they are recomputed for their gradients
_SHARPNESS = 3.0  # initial sharpness of addresses: uneven enough that slots come to hold different contents


class SlotEncoder(nn.Module):
    """Encoder with labels of S slots, and a causal trunk that looks back but does not write them.

    ::

        e_t = embed(x_t) + W embed(x_{t-1})                 token shift
        z_t = phases(z_{t-1}, e_t)                          a position; see ``Phases``
        w_t = e_t + enter(z_t)                              input of every write, and of the trunk
        a_t = σ(gate(w_t)) softmax(address(w_t))            share of each slot that is overwritten
        s_t = (1 - a_t) s_{t-1} + a_t write(w_t)            S - 3 slots, by a parallel scan
        m_t = [answer(h_t), s_t, z_t, last(embed(x_t))]     h_t, the trunk's state, fills one slot, which is not kept

    The last slot holds what the next write needs of x_t, and the first one the trunk's current prediction. So (m_{t-1},
    x_t) determines m_t except for this answer, and also the answer as far as the slots hold what the trunk looks back
    at. With the phases a write can depend on the position, which the last two inputs do not reveal: the n-th symbol of
    a string, the height of a stack. A memory with few slots has no phases.
    """

    all_at_once = shares_decoder = True
    long_enough = 128  # steps; a write depends on two inputs and the phases, and the slowest phase turns once in them

    def __init__(
        self,
        settings: TeacherSettings,
        inputs: Space,
        targets: Space,
        memory_shape: tuple[int, int],
        *,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        width, numbers = settings.width, memory_shape[0] * memory_shape[1]
        self.count, self.size = slots_of(numbers)
        self.numbers, self.recompute = numbers, recompute
        self.phases = Phases(width, self.size) if self.count >= _WITH_PHASES else None
        self.embed = InputEmbedding(inputs, width, width**-0.5)
        self.start = nn.Parameter(torch.randn(width) * width**-0.5)
        self.shift = TokenShift(width) if settings.token_shift else nn.Identity()
        self.trunk = Transformer(width, settings.layers, settings.heads, causal=True, rotary=True, recompute=recompute)
        self.out = Outputs(width, targets)
        self.gate = nn.Linear(width, 1)
        self.address = nn.Linear(width, self.count - (3 if self.phases else 2))
        self.write = nn.Linear(width, self.size)
        self.last = nn.Linear(width, self.size)
        self.answer = nn.Linear(width, self.size)
        nn.init.normal_(self.address.weight, std=_SHARPNESS * width**-0.5)

    def decoder(self, horizon: int) -> "SlotDecoder":
        return SlotDecoder(self, len(self.start), horizon)

    def enter(self, inputs: Shaped[Tensor, "B T *x"]) -> Float[Tensor, "B T1 width"]:
        """Embed the start and each input separately."""
        return torch.cat([self.start.expand(len(inputs), 1, -1), self.embed(inputs)], dim=1)

    def read(self, inputs: Shaped[Tensor, "B T *x"]) -> Float[Tensor, "B T1 n"]:
        """Return the memories at all T + 1 positions (K d numbers), and after them the trunk's states (``width``)."""
        rest, seen = self._rest(self.enter(inputs))
        states = self.trunk(seen)
        return torch.cat([rms_normalise(self.answer(states)), rest, states], dim=-1)

    def kept(self, inputs: Shaped[Tensor, "B T *x"]) -> Iterator[Float[Tensor, "B t n"]]:
        """Yield memories with 1 in place of the answer, so without the trunk, in parts of time with little at once."""
        past = None
        for begin in range(0, inputs.shape[1] + 1, _PART):
            part = inputs[:, max(begin - 1, 0) : begin + _PART - 1]
            alone = self.embed(part) if begin else self.enter(part)
            rest, _ = self._rest(alone, past)
            past = alone[:, -1:], rest[:, -1]
            yield F.pad(rest, (self.size, 0), value=1.0)  # size of an answer: a cell may scale them together

    def kept_coordinates(self) -> Bool[Tensor, "n"]:
        """Return which of the memory's numbers ``kept`` computes."""
        return torch.arange(self.numbers, device=self.start.device) >= self.size

    def _rest(
        self,
        alone: Float[Tensor, "B t width"],
        past: tuple[Float[Tensor, "B 1 width"], Float[Tensor, "B n"]] | None = None,
    ) -> tuple[Float[Tensor, "B t n"], Float[Tensor, "B t width"]]:
        """Return all coordinates of the memories after the answer, and the trunk's inputs.

        Args:
            alone: the inputs, embedded separately.
            past: the last of ``alone`` and of these coordinates before them; None at the start.
        """
        if past is None:
            pairs, slots, place = self.shift(alone), None, None
        else:
            entered, before = past
            pairs = self.shift(torch.cat([entered, alone], dim=1))[:, 1:]
            slots, place = before[:, : self._written_size], before[:, self._written_size :][:, : self.size]
            place = self.phases.state(place) if self.phases is not None else None
        phases, seen = self.located(pairs, place)
        written, last = self._written(rms_normalise(seen), slots), rms_normalise(self.last(rms_normalise(alone)))
        rest = torch.cat([written, phases, last], dim=-1)
        unused = self.numbers - self.size - rest.shape[-1]  # if the memory cannot be divided into equal slots
        return F.pad(rest, (0, unused)), seen

    @property
    def _written_size(self) -> int:
        return self.address.out_features * self.size

    def located(
        self, pairs: Float[Tensor, "B T1 width"], before: Inexact[Tensor, "B s"] | None = None
    ) -> tuple[Float[Tensor, "B T1 z"], Float[Tensor, "B T1 width"]]:
        """Return the phases' numbers (z = 0 without phases), and inputs that include their position."""
        if self.phases is None:
            return pairs[..., :0], pairs
        numbers, place = self.phases(pairs, before)
        return numbers, pairs + place

    def _written(self, seen: Float[Tensor, "B t width"], before: Float[Tensor, "B n"] | None) -> Float[Tensor, "B t n"]:
        """Write the slots at each step, all at once, or in parts of time that are recomputed for their gradients."""
        if not self.recompute:
            return self._go_on(seen, before)
        parts: list[Tensor] = []
        for part in seen.split(_PART, dim=1):
            parts.append(again(self._go_on, part, parts[-1][:, -1] if parts else before))
        return torch.cat(parts, dim=1)

    def _go_on(self, seen: Float[Tensor, "B t width"], before: Float[Tensor, "B n"] | None) -> Float[Tensor, "B t n"]:
        anew = (self.gate(seen).sigmoid() * self.address(seen).softmax(dim=-1))[..., None]
        new = anew * rms_normalise(self.write(seen))[:, :, None]
        kept, new = (1 - anew).expand_as(new).flatten(2), new.flatten(2)
        if before is not None:
            new = torch.cat([new[:, :1] + kept[:, :1] * before[:, None], new[:, 1:]], dim=1)
        return affine_scan(kept, new)

    def at(self, read: Float[Tensor, "B T1 n"], positions: Int[Tensor, "B S"] | None) -> Float[Tensor, "B S Kd"]:
        memories = read[..., : self.numbers]
        if positions is None:
            return memories
        return memories.gather(1, positions[..., None].expand(-1, -1, memories.shape[-1]))

    def look_back(self, read: Float[Tensor, "B T1 n"]) -> Float[Tensor, "B T V"]:
        """Predict y_t from x_0 .. x_t by the trunk."""
        return self.out(read[:, 1:, self.numbers :])


class SlotDecoder(Decoder):
    """The encoder's own trunk over [m_t, x_{t+1}, x_{t+2}, ...]: it reuses what it learnt by looking back."""

    def __init__(self, encoder: SlotEncoder, width: int, horizon: int) -> None:
        super().__init__(horizon)
        self._encoder = (encoder,)  # in a tuple, because its weights are saved as the encoder's
        self.enter = nn.Linear(encoder.size, width)
        self.place = nn.Parameter(torch.randn(encoder.count, width) * width**-0.5)

    def forward(
        self, memory: Float[Tensor, "N K d"], future: Shaped[Tensor, "N F *x"], at: Int[Tensor, "N P"] | None = None
    ) -> Float[Tensor, "N P V"]:
        encoder, count = self._encoder[0], self._encoder[0].count
        used = memory.flatten(1)[:, : count * encoder.size].unflatten(1, (count, encoder.size))
        pairs = encoder.shift(torch.cat([self.enter(used) + self.place, encoder.embed(future)], dim=1))
        _, seen = encoder.located(pairs[:, count:], used[:, -2])
        return encoder.out(predicting(encoder.trunk, torch.cat([pairs[:, :count], seen], dim=1), count - 1, at))


def slots_of(numbers: int) -> tuple[int, int]:
    """Return the number of slots of a memory of the given size, and the size of each slot: 16 if possible.

    Raises:
        ValueError: there are fewer than three numbers, one for each kind of slot.
    """
    if numbers < FEWEST:
        raise ValueError(
            f"teacher.kind is 'slots', and a memory has {numbers} numbers (cell.tokens * cell.memory_width); it needs"
            f" {FEWEST} or more: take more, or teacher.kind=causal"
        )
    count = min(max(numbers // _SIZE, _SMALLEST), numbers)
    return count, numbers // count
