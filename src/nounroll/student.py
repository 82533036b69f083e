"""The student: empty memory, cell, readout. All that is deployed.

    m_{-1} = m_∅,   m_t = f(m_{t-1}, x_t),   p(y_t | x_0 .. x_t) = g(m_t)

This module imports no teacher, no method and no training code.
"""

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from nounroll.batch import Categorical, Real, Space
from nounroll.cells import build_cell
from nounroll.cells.base import CellSettings, constrain, observe
from nounroll.generation import Generation, Sampling

WEIGHTS, CONFIG = "model.safetensors", "config.json"


class Readout(nn.Module):
    """g: what the cell lets be seen of a memory -> V logits (or Gaussian parameters). One hidden layer."""

    def __init__(self, features: int, size: int, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, width)
        self.out = nn.Linear(width, size)

    def forward(self, features: Float[Tensor, "... F"]) -> Float[Tensor, "... V"]:
        return self.out(F.gelu(self.hidden(features)))


class Student(nn.Module):
    """A recurrent network: constant memory and constant work per step.

    Args:
        inputs: space of x_t.
        targets: space of y_t.
        cell: a CellSettings, or the user's own cell module (see ``nounroll.cells.base``).
        readout_width: hidden width of the readout, 256 by default.
    """

    def __init__(
        self, inputs: Space, targets: Space, cell: CellSettings | nn.Module | None = None, *, readout_width: int = 256
    ) -> None:
        super().__init__()
        self.inputs, self.targets = inputs, targets
        self.settings = CellSettings() if cell is None else cell if isinstance(cell, CellSettings) else None
        self.readout_width = readout_width
        self.cell: Any = cell if isinstance(cell, nn.Module) else build_cell(self.settings or CellSettings(), inputs)
        self.memory_shape: tuple[int, int] = tuple(int(n) for n in self.cell.memory_shape)  # type: ignore[assignment]
        self.empty_memory = nn.Parameter(constrain(self.cell, 0.1 * torch.randn(self.memory_shape)).detach())
        features = observe(self.cell, self.empty_memory).shape[-1]
        self.head = Readout(features, targets.readout_size, readout_width)

    # -- one step ---------------------------------------------------------------------------------

    def initial_memory(self, batch_size: int) -> Float[Tensor, "B K d"]:
        """m_∅ for each row."""
        return self.empty_memory.expand(batch_size, *self.memory_shape)

    def step(self, inputs: Shaped[Tensor, "B *x"], memory: Float[Tensor, "B K d"]) -> Float[Tensor, "B K d"]:
        """m_t from x_t and m_{t-1}."""
        return self.cell.step(inputs, memory)

    def readout(self, memory: Float[Tensor, "... K d"]) -> Float[Tensor, "... V"]:
        """Logits of y_t (Categorical), or its mean and log scale (Real), from m_t."""
        return self.head(observe(self.cell, memory))

    # -- over time --------------------------------------------------------------------------------

    def rollout(
        self, inputs: Shaped[Tensor, "B T *x"], memory: Float[Tensor, "B K d"] | None = None
    ) -> Float[Tensor, "B T1 K d"]:
        """All memories on the way through ``inputs``: (B, T+1, K, d); index 0 is ``memory`` (m_∅ by default).

        Uses the cell's fused ``unroll`` where it has one; ``stepped_rollout`` is its twin.
        """
        start = self.initial_memory(inputs.shape[0]) if memory is None else memory
        if getattr(self.cell, "unroll", None) is None:
            return self.stepped_rollout(inputs, start)
        return torch.cat([start[:, None], self.cell.unroll(inputs, start)], dim=1)

    def stepped_rollout(
        self, inputs: Shaped[Tensor, "B T *x"], memory: Float[Tensor, "B K d"] | None = None
    ) -> Float[Tensor, "B T1 K d"]:
        """``rollout``, one step after another."""
        memories = [self.initial_memory(inputs.shape[0]) if memory is None else memory]
        for t in range(inputs.shape[1]):
            memories.append(self.cell.step(inputs[:, t], memories[-1]))
        return torch.stack(memories, dim=1)

    def generate(
        self,
        prompt: Shaped[Tensor, "B P *x"],
        steps: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: torch.Generator | None = None,
        compiled: bool = False,
    ) -> Shaped[Tensor, "B steps *y"]:
        """Continue a prompt: each y_t drawn from the readout is the next input.

        ``nounroll.generation.Generation`` does the same in parts, and can be saved between them.

        Args:
            prompt: the first inputs, P >= 1; the memory before them is m_∅.
            steps: how many elements to draw, at least 1.
            temperature, top_k, top_p: see ``nounroll.generation.Sampling``.
            generator: source of the draws; the same state, the same result.
            compiled: one compiled call a step; it pays for long texts only.

        Raises:
            ValueError: targets cannot be inputs, the prompt is empty or outside the space, or a setting is out
                of range.
        """
        sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
        return Generation(self, len(prompt), sampling, generator, compiled=compiled).read(prompt).write(steps)

    # -- files ------------------------------------------------------------------------------------

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` into ``folder``."""
        config = {
            "format": 1,
            "inputs": space_to_json(self.inputs),
            "targets": space_to_json(self.targets),
            "readout_width": self.readout_width,
            "cell": vars(self.settings) if self.settings else {"kind": "custom", "class": type(self.cell).__name__},
        }
        write_model(self, config, Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path, cell: nn.Module | None = None) -> "Student":
        """The student that ``save_pretrained`` wrote, in evaluation mode, on the CPU.

        Args:
            folder: where it was saved.
            cell: for a student with the user's own cell, a module of the same class and sizes.

        Raises:
            ValueError: the folder holds no student, or the cell is missing or does not fit.
        """
        folder = Path(folder)
        if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
            raise ValueError(f"{folder} holds no student; it needs {CONFIG} and {WEIGHTS}")
        try:
            config = json.loads((folder / CONFIG).read_text())
            own = config["cell"]["kind"] == "custom"
            if own and cell is None:
                raise ValueError(
                    f"{folder} was trained with its own cell {config['cell']['class']};"
                    f" pass one of the same sizes: from_pretrained(folder, cell=...)"
                )
            student = cls(
                space_from_json(config["inputs"]),
                space_from_json(config["targets"]),
                cell if own else CellSettings(**config["cell"]),
                readout_width=config["readout_width"],
            )
            student.load_state_dict(load_file(folder / WEIGHTS))
        except (KeyError, TypeError, RuntimeError, OSError, json.JSONDecodeError, SafetensorError) as error:
            raise ValueError(f"{folder} holds no readable student: {' '.join(str(error).split())}") from error
        return student.eval()


def write_model(model: nn.Module, config: dict[str, Any], folder: Path) -> None:
    """Weights and configuration of a model, as files of ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    (folder / WEIGHTS).write_bytes(save(weights))


def space_to_json(space: Space) -> dict[str, Any]:
    """What ``space_from_json`` takes."""
    return {"kind": "categorical", "n": space.n} if isinstance(space, Categorical) else {"kind": "real", "d": space.d}


def space_from_json(document: dict[str, Any]) -> Space:
    """The space that ``space_to_json`` wrote."""
    return Categorical(document["n"]) if document["kind"] == "categorical" else Real(document["d"])
