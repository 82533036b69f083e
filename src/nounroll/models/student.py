"""Student: empty memory, cell and readout; the only network that is deployed.

    m_{-1} = m_∅,   m_t = f(m_{t-1}, x_t),   p(y_t | x_0 .. x_t) = g(m_t)

This module imports no teacher, no method and no training code.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.cells import build_cell, complete
from nounroll.cells.base import CellSettings, observe
from nounroll.core.batch import Real, Space
from nounroll.core.modes import drawing_from, on_meta
from nounroll.core.plain import plain
from nounroll.core.spaces import space_from_json, space_to_json
from nounroll.models.generation import Generation, Sampling
from nounroll.models.network import Network
from nounroll.nn.linear import Linear
from nounroll.nn.outputs import Outputs
from nounroll.storage import checkpoint

if TYPE_CHECKING:
    from nounroll.models.policy import Policy

WEIGHTS, CONFIG = "model.safetensors", "config.json"
M = TypeVar("M", bound=nn.Module)


class Readout(nn.Module):
    """g: the visible part of a memory -> V parameters of p(y), such as logits.

    Args:
        features: F, size of that part.
        targets: space of y_t.
        width: width of the hidden layer; 0 is none, a linear readout.
    """

    def __init__(self, features: int, targets: Space, width: int) -> None:
        super().__init__()
        self.hidden = Linear(features, width) if width else None
        self.out = Outputs(width or features, targets)

    def forward(self, features: Float[Tensor, "... F"]) -> Float[Tensor, "... V"]:
        return self.out(features if self.hidden is None else F.gelu(self.hidden(features)))


class Student(Network):
    """Recurrent network with constant memory and constant work per step.

    Args:
        inputs: space of x_t.
        targets: space of y_t.
        cell: a CellSettings, or the user's own cell module (see ``nounroll.cells.base``).
        readout_width: hidden width of the readout, 256 by default; 0 is a linear readout.

    Attributes:
        trained_on: facts about the training task (``nounroll.data.kept``), as plain values; empty before training.
    """

    def __init__(
        self, inputs: Space, targets: Space, cell: CellSettings | nn.Module | None = None, *, readout_width: int = 256
    ) -> None:
        check_no_student(cell)
        settings = CellSettings() if cell is None else cell if isinstance(cell, CellSettings) else None
        super().__init__(
            inputs, cell if isinstance(cell, nn.Module) else build_cell(settings or CellSettings(), standard(inputs))
        )
        self.targets, self.settings = targets, settings
        self.readout_width = readout_width
        self.trained_on: dict[str, Any] = {}
        features = observe(self.cell, self.empty_memory).shape[-1]
        self.head = Readout(features, targets, readout_width)

    def rescale(self, inputs: Space, targets: Space) -> None:
        """Give the spaces another shift and scale: the network computes the same function in another unit."""
        if (inputs, targets) != (self.inputs, self.targets):
            raise ValueError(f"spaces are {inputs} and {targets}; the student has {self.inputs} and {self.targets}")
        self.inputs, self.targets, self.head.out.targets = inputs, targets, targets

    # -- one step ---------------------------------------------------------------------------------

    def readout(self, memory: Float[Tensor, "... K d"]) -> Float[Tensor, "... V"]:
        """Compute the parameters of p(y_t) from m_t, in the data's unit, such as logits of symbols."""
        return self.head(observe(self.cell, memory))

    # -- over time --------------------------------------------------------------------------------

    def outputs(
        self,
        inputs: Shaped[Tensor, "B T *x"],
        memory: Float[Tensor, "B K d"] | None = None,
        resets: Shaped[Tensor, "..."] | None = None,
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B K d"]]:
        """Compute the readout after each of ``inputs``, and the memory after the last one."""
        features, last = self.features(inputs, memory, resets)
        return self.head(features), last

    def forward(
        self,
        inputs: Shaped[Tensor, "B T *x"],
        memory: Float[Tensor, "B K d"] | None = None,
        lengths: Shaped[Tensor, "..."] | np.ndarray | Sequence[int] | None = None,
        resets: Shaped[Tensor, "..."] | None = None,
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B K d"]]:
        """Compute the readout after each of ``inputs``, and the memory after the last one, in the order of ``nn.LSTM``.

        Args:
            inputs: padded, if rows have different lengths.
            memory: initial memory; m_∅ by default.
            lengths: number of inputs to read in each row, 0 to T; all by default. Later outputs are 0, for any values
                of the padding.
            resets: (B, T) bool, True where the memory is reset to m_∅ before x_t; nowhere by default.

        Raises:
            ValueError: lengths are not B integers from 0 to T, or resets are not truth values of shape (B, T).
        """
        if lengths is None:
            return self.outputs(inputs, memory, resets)
        rows, time = inputs.shape[:2]
        counts = torch.as_tensor(lengths, device=inputs.device)
        if counts.shape != (rows,) or counts.is_floating_point() or bool(((counts < 0) | (counts > time)).any()):
            raise ValueError(f"lengths are {counts.tolist()}; they must be {rows} whole numbers between 0 and {time}")
        unread = torch.arange(time, device=inputs.device) >= counts[:, None]
        read = inputs.masked_fill(unread.view(rows, time, *[1] * (inputs.dim() - 2)), 0)
        memories = self.rollout(read, memory, resets)
        outputs = self.readout(memories[:, 1:]).masked_fill(unread[..., None], 0)
        return outputs, memories[torch.arange(rows, device=inputs.device), counts.long()]

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
        stop: Sequence[Any] = (),
    ) -> Shaped[Tensor, "B n *y"]:
        """Continue a prompt: each y_t drawn from the readout is the next input.

        ``nounroll.models.generation.Generation`` does the same step by step, and can be saved in between.

        Args:
            prompt: the first inputs, P >= 1; the memory before them is m_∅.
            steps: number of elements to draw, at least 1.
            temperature, top_k, top_p: see ``nounroll.models.generation.Sampling``.
            generator: source of the draws; the same state gives the same result.
            compiled: draw eight elements in each compiled call; this is faster only for long texts.
            stop: symbols, or sequences of symbols, that end a row; see ``Generation.write``.

        Raises:
            ValueError: targets cannot be inputs, the prompt is empty or outside the space, or a setting is out
                of range.
        """
        sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
        return Generation(self, len(prompt), sampling, generator, compiled=compiled).read(prompt).write(steps, stop)

    def policy(self, envs: Any, *, temperature: float = 0.0, generator: torch.Generator | None = None) -> "Policy":
        """Build a policy that acts in environments by this student; see ``nounroll.models.policy.Policy``.

        Args:
            envs: a ``gymnasium.Env`` or a vector environment, whose spaces are the student's.
            temperature: temperature of the draw of each action; 0 takes the most likely action.
            generator: source of the draws.

        Raises:
            ValueError: the environment's spaces differ from the student's.
        """
        from nounroll.models.policy import Policy

        return Policy.of(self, envs, temperature=temperature, generator=generator)

    # -- files ------------------------------------------------------------------------------------

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors``, ``config.json`` and, to verify them, ``manifest.json`` into ``folder``.

        The folder is replaced atomically.

        Raises:
            CheckpointError: the folder holds something else, or cannot be written.
        """
        write_model(self, self.to_config(), Path(folder))

    def to_config(self) -> dict[str, Any]:
        """Return the content of ``config.json``: everything but the weights."""
        return {
            "format": 1,
            "inputs": space_to_json(self.inputs),
            "targets": space_to_json(self.targets),
            "readout_width": plain(self.readout_width),
            "cell": self._cell_to_config(),
            **({"trained_on": self.trained_on} if self.trained_on else {}),
        }

    def _cell_to_config(self) -> dict[str, Any]:
        if self.settings is None:
            return {"kind": "custom", "class": type(self.cell).__name__}
        return vars(complete(self.settings))

    @classmethod
    def from_pretrained(cls, folder: str | Path, cell: nn.Module | None = None) -> "Student":
        """Open the student that ``save_pretrained`` wrote, in evaluation mode, on the CPU.

        Args:
            folder: folder of the saved student.
            cell: a module of the same class and sizes, for a student with the user's own cell.

        Raises:
            ValueError: the folder holds no student, or the cell is missing or does not fit.
        """
        folder = Path(folder)
        if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
            raise ValueError(f"{folder} holds no student; it needs {CONFIG} and {WEIGHTS}")
        config, weights = read_model(folder, "student")
        if _kind_of_cell(config) == "custom" and cell is None:
            raise ValueError(
                f"{folder} was trained with its own cell {config['cell'].get('class')};"
                f" pass one of the same sizes: from_pretrained(folder, cell=...)"
            )

        own = cell if _kind_of_cell(config) == "custom" else None

        def build() -> Student:
            inputs, targets, width = (
                *map(space_from_json, (config["inputs"], config["targets"])),
                config["readout_width"],
            )
            if own is not None:  # its sizes are known; those of the readout must fit the weights
                wanted = {"out": targets.readout_size, **({"hidden": width} if width else {})}
                sizes = {name: len(weights[f"head.{name}.weight"]) for name in wanted}
                if sizes != wanted:
                    raise ValueError(f"according to {CONFIG} the readout is {wanted}, in {WEIGHTS} {sizes}")
            return cls(inputs, targets, own or cell_settings(config["cell"]), readout_width=width)

        student = load_model(build, weights, folder, "student", trial=own is None).eval()
        kept = config.get("trained_on")
        student.trained_on = kept if isinstance(kept, dict) else {}
        return student


def check_no_student(cell: object) -> None:
    """Refuse a student in place of a cell; it would be trained as a user's own cell.

    Raises:
        ValueError: the cell is a student.
    """
    if isinstance(cell, Student):
        raise ValueError(
            f"cell is a {type(cell).__name__}, a whole network; give its cell alone: cell=student.cell,"
            " which is trained in place, or cell=copy.deepcopy(student.cell)"
        )


def cell_settings(document: dict[str, Any]) -> CellSettings:
    """Read the settings of a cell from a configuration; version 0.1 wrote null for sizes that the cell chose."""
    chosen = {"width": 0, "layers": 0}
    if document.get("kind") == "mlp" and None in (document.get("width", 0), document.get("layers", 0)):
        chosen = {"width": 2 * document["tokens"] * document["memory_width"], "layers": 1}  # the sizes that 0.1 chose
    sizes: Any = {name: chosen.get(name, 0) if value is None else value for name, value in document.items()}
    return CellSettings(**sizes)


def _kind_of_cell(config: dict[str, Any]) -> object:
    cell = config.get("cell")
    return cell.get("kind") if isinstance(cell, dict) else None


def write_model(model: nn.Module, config: dict[str, Any], folder: Path) -> None:
    """Write the weights and the configuration of a model as files in ``folder``, with their manifest."""
    checkpoint.write(folder, {Path(WEIGHTS).stem: model.state_dict()}, {Path(CONFIG).stem: config})


def read_model(folder: Path, what: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the configuration and the weights that ``write_model`` wrote; errors name them ``what``."""
    try:
        config, weights = checkpoint.read_files(folder, CONFIG, WEIGHTS)
        document = checkpoint.parse_document(config)
        if not isinstance(document, dict):
            raise TypeError(f"{CONFIG} holds {type(document).__name__}; it must hold names and values")
        return document, checkpoint.parse_tensors(weights)
    except Exception as error:  # parsers may raise anything on hostile bytes
        raise ValueError(f"{folder} holds no readable {what}: {checkpoint.one_line(error)}") from error


def load_model(build: Callable[[], M], weights: dict[str, Tensor], folder: Path, what: str, trial: bool = True) -> M:
    """Build a model with these weights; allocate it only after its sizes are known to match them.

    Args:
        build: makes the model from its configuration, which may contain anything.
        weights: the weights that the model must hold.
        folder, what: names for the errors.
        trial: compare all sizes first. False if a part exists already: ``build`` must then check the others.
    """
    try:
        if trial:
            with on_meta():  # shapes without memory
                sizes = {name: tensor.shape for name, tensor in build().state_dict().items()}
            for name in sorted(sizes.keys() | weights.keys()):
                asked, there = sizes.get(name), weights[name].shape if name in weights else None
                if asked != there:
                    raise ValueError(
                        f"according to {CONFIG} {name} is {_form(asked)}, in {WEIGHTS} it is {_form(there)}"
                    )
        with drawing_from(torch.Generator()):
            model = build()
        model.load_state_dict(weights)
    except Exception as error:  # a configuration from elsewhere can be wrong in any way
        raise ValueError(f"{folder} holds no readable {what}: {checkpoint.one_line(error)}") from error
    return model


def _form(shape: torch.Size | None) -> str:
    return "not there" if shape is None else str(tuple(shape))


def standard(space: Space) -> Space:
    """Return the space of a cell's inputs: symbols unchanged, other elements as vectors of about unit size."""
    return space if space.symbols is not None else Real(space.entered_size)
