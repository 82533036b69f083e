"""The teacher that packs: slots of memory that a gated linear recurrence writes, read by the trunk that decodes.

A causal Transformer answers by looking back, and nothing makes a linear map of its states hold what is asked for
later. Here the memory is written apart from it, by what the student will see too: the last two inputs. So a label is
what one step makes of the label before it, and it is the same trunk, with the same weights, that must answer later
targets from the slots alone, in place of the past.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
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
from nounroll.teacher.decoder import Decoder
from nounroll.teacher.phases import Phases

FEWEST = 3  # numbers of a memory
_SIZE = 16  # numbers of a slot, where the memory has enough
_SMALLEST = 4  # slots of a small memory
_WITH_PHASES = 8  # slots, from which on one is spent on phases
_PART = 512  # time steps that are written together where they are computed again for their gradients
_SHARPNESS = 3.0  # of addresses at the start: far enough from even that slots come to hold different things


class SlotEncoder(nn.Module):
    """Labels of S slots, and a causal trunk that looks back and has no part in writing them.

    ::

        e_t = embed(x_t) + W embed(x_{t-1})                 token shift
        z_t = phases(z_{t-1}, e_t)                          a position; see ``Phases``
        w_t = e_t + enter(z_t)                              all that a write sees, and what enters the trunk
        a_t = σ(gate(w_t)) softmax(address(w_t))            how much of each slot is written anew
        s_t = (1 - a_t) s_{t-1} + a_t write(w_t)            S - 3 slots, by a parallel scan
        m_t = [answer(h_t), s_t, z_t, last(embed(x_t))]     h_t, the trunk's state, is in one slot, which is not kept

    The last slot has what the next write needs of x_t, and the first one what the trunk would answer now. So (m_{t-1},
    x_t) decides m_t but for the answer, and that too as far as the slots hold what the trunk looks back at. With the
    phases a write can go by place, which the last two inputs alone do not tell: the n-th of a string, the height of a
    stack. A memory of few slots has none.
    """

    all_at_once = shares_decoder = True

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
        """The start, and the inputs, each by itself."""
        return torch.cat([self.start.expand(len(inputs), 1, -1), self.embed(inputs)], dim=1)

    def read(self, inputs: Shaped[Tensor, "B T *x"]) -> Float[Tensor, "B T1 n"]:
        """Memories after nothing and after each input, K d numbers, and the trunk's states, ``width`` numbers."""
        rest, seen = self._rest(inputs)
        states = self.trunk(seen)
        return torch.cat([rms_normalise(self.answer(states)), rest, states], dim=-1)

    def kept(self, inputs: Shaped[Tensor, "B T *x"]) -> tuple[Float[Tensor, "B T1 n"], Bool[Tensor, "n"]]:
        """Memories with 1 in place of the answer, so without the trunk; and which of their numbers are kept."""
        rest, _ = self._rest(inputs)
        answer = rest.new_ones(*rest.shape[:2], self.size)  # as large as an answer: a cell may scale them together
        return torch.cat([answer, rest], dim=-1), torch.arange(self.numbers, device=rest.device) >= self.size

    def _rest(self, inputs: Shaped[Tensor, "B T *x"]) -> tuple[Float[Tensor, "B T1 n"], Float[Tensor, "B T1 width"]]:
        """Return all numbers of the memories after the answer, and the trunk's inputs."""
        alone = self.enter(inputs)
        phases, seen = self.located(self.shift(alone))
        slots, last = self._written(rms_normalise(seen)), rms_normalise(self.last(rms_normalise(alone)))
        rest = torch.cat([slots, phases, last], dim=-1)
        unused = self.numbers - self.size - rest.shape[-1]  # where the numbers cannot be cut into equal slots
        return F.pad(rest, (0, unused)), seen

    def located(
        self, pairs: Float[Tensor, "B T1 width"], before: Float[Tensor, "B size"] | None = None
    ) -> tuple[Float[Tensor, "B T1 z"], Float[Tensor, "B T1 width"]]:
        """The phases' numbers, z = 0 where there are none, and inputs that know their place."""
        if self.phases is None:
            return pairs[..., :0], pairs
        numbers, place = self.phases(pairs, before)
        return numbers, pairs + place

    def _written(self, seen: Float[Tensor, "B T1 width"]) -> Float[Tensor, "B T1 n"]:
        """The slots after each step, whole, or one part of the steps after another and again for their gradients."""
        if not self.recompute:
            return self._go_on(seen)
        parts: list[Tensor] = []
        for part in seen.split(_PART, dim=1):
            parts.append(again(self._go_on, part, parts[-1][:, -1] if parts else None))
        return torch.cat(parts, dim=1)

    def _go_on(
        self, seen: Float[Tensor, "B t width"], before: Float[Tensor, "B n"] | None = None
    ) -> Float[Tensor, "B t n"]:
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
    """The encoder's own trunk over [m_t, x_{t+1}, x_{t+2}, ...]: it uses here what it learnt by looking back."""

    def __init__(self, encoder: SlotEncoder, width: int, horizon: int) -> None:
        super().__init__(horizon)
        self._encoder = (encoder,)  # in a tuple: its weights are saved as the encoder's
        self.enter = nn.Linear(encoder.size, width)
        self.place = nn.Parameter(torch.randn(encoder.count, width) * width**-0.5)

    def forward(self, memory: Float[Tensor, "N K d"], future: Shaped[Tensor, "N F *x"]) -> Float[Tensor, "N F1 V"]:
        encoder, count = self._encoder[0], self._encoder[0].count
        used = memory.flatten(1)[:, : count * encoder.size].unflatten(1, (count, encoder.size))
        pairs = encoder.shift(torch.cat([self.enter(used) + self.place, encoder.embed(future)], dim=1))
        _, seen = encoder.located(pairs[:, count:], used[:, -2])
        return encoder.out(encoder.trunk(torch.cat([pairs[:, :count], seen], dim=1))[:, count - 1 :])


def slots_of(numbers: int) -> tuple[int, int]:
    """Return the number of slots of a memory of so many numbers, and the size of each: 16 where there are enough.

    Raises:
        ValueError: there are not three numbers, one for each kind of slot.
    """
    if numbers < FEWEST:
        raise ValueError(
            f"teacher.kind is 'slots', and a memory has {numbers} numbers (cell.tokens * cell.memory_width); it needs"
            f" {FEWEST} or more: take more, or teacher.kind=causal"
        )
    count = min(max(numbers // _SIZE, _SMALLEST), numbers)
    return count, numbers // count
