"""Plain causal Transformer: a baseline that keeps all its inputs, while a student keeps a memory of fixed size.

p(y_t | x_0 .. x_t) = W state_{t+1},   states by the encoder of a causal teacher
"""

from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.core.batch import Space
from nounroll.core.ranges import at_least
from nounroll.core.spaces import space_from_json, space_to_json
from nounroll.models.generation import Sampling, can_feed
from nounroll.models.student import load_model, read_model, write_model
from nounroll.nn.outputs import Outputs
from nounroll.teacher import TeacherSettings
from nounroll.teacher.base import without_heads
from nounroll.teacher.causal import CausalEncoder, Read


class CausalTransformer(nn.Module):
    """Encoder of a causal teacher, with a linear readout on its states.

    It has no memory of fixed size and takes no single steps: the work for one more input grows with all before it.

    Args:
        inputs: space of x_t.
        targets: space of y_t.
        settings: settings of a teacher; those of its decoder are ignored.
    """

    def __init__(self, inputs: Space, targets: Space, settings: TeacherSettings) -> None:
        super().__init__()
        self.inputs, self.targets, self.settings = inputs, targets, settings
        self.encoder = CausalEncoder(settings, inputs)
        self.out = Outputs(settings.width, targets)

    def predict(self, inputs: Shaped[Tensor, "B T *x"]) -> Float[Tensor, "B T V"]:
        """Predict the parameters of p(y_t), such as logits of symbols, for every t."""
        return self.out(self.states(inputs))

    def states(self, inputs: Shaped[Tensor, "B T *x"]) -> Float[Tensor, "B T width"]:
        """Return the states after each input, which ``out`` reads."""
        return self.encoder(inputs, None)[:, 1:]

    def extend(self, inputs: Shaped[Tensor, "B T *x"], read: Read) -> Float[Tensor, "B T V"]:
        """Predict for the inputs that follow ``read``, and add these inputs to it.

        Start with ``Read(model.settings.layers)``, which has read nothing.
        """
        return self.out(self.encoder.extend(inputs, read))

    @torch.no_grad()
    def generate(
        self,
        prompt: Shaped[Tensor, "B P *x"],
        steps: int,
        sampling: Sampling | None = None,
        generator: torch.Generator | None = None,
    ) -> Shaped[Tensor, "B steps *y"]:
        """Continue a prompt with a cache of keys and values: the work per element grows with all elements before it.

        Args:
            prompt: the first inputs, P >= 1.
            steps: number of elements to draw, at least 1.
            sampling: how they are drawn.
            generator: source of the draws.

        Raises:
            ValueError: a target cannot be an input, the prompt is empty or outside the space, or ``steps`` is below 1.
        """
        if not can_feed(self.targets, self.inputs):
            raise ValueError(
                f"targets are {self.targets}, inputs {self.inputs}; to generate, a target must be an input"
            )
        at_least("steps", steps, 1)
        if prompt.shape[1] < 1:
            raise ValueError("prompt is empty; generation needs at least one input")
        self.inputs.check("prompt", prompt)
        read, drawn = Read(self.settings.layers), [prompt]
        for _ in range(steps):
            outputs = self.extend(drawn[-1], read)[:, -1]
            drawn.append((sampling or Sampling()).draw(self.targets, outputs, generator)[:, None])
        return torch.cat(drawn[1:], dim=1)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors``, ``config.json`` and their ``manifest.json`` into ``folder``."""
        config = {
            "format": 1,
            "inputs": space_to_json(self.inputs),
            "targets": space_to_json(self.targets),
            "transformer": vars(self.settings),
        }
        write_model(self, config, Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "CausalTransformer":
        """Open the Transformer that ``save_pretrained`` wrote, in evaluation mode, on the CPU.

        Raises:
            ValueError: the folder holds no readable Transformer.
        """
        folder = Path(folder)
        config, weights = read_model(folder, "transformer")

        def build() -> CausalTransformer:
            inputs, targets = space_from_json(config["inputs"]), space_from_json(config["targets"])
            return cls(inputs, targets, TeacherSettings(**without_heads(config["transformer"])))

        return load_model(build, weights, folder, "transformer").eval()
