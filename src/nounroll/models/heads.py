"""Readouts for several tasks on one network: it is stored once, and computes the memories for all of them once."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.cells.base import observe
from nounroll.core.batch import Space
from nounroll.core.modes import drawing_from
from nounroll.core.spaces import space_from_json, space_to_json
from nounroll.models.student import CONFIG, WEIGHTS, Readout, Student, load_model
from nounroll.storage import checkpoint

HEADS = "heads.json"
_NAME = Path(HEADS).stem


class Heads:
    """Readouts by name, of one network.

    ::

        heads["tag"]                 # a Student; all of them share the cell and m_∅
        heads.outputs(x)["tag"]      # of all readouts, from one rollout
        heads.save_pretrained("heads")
        heads = nounroll.Heads.from_pretrained("heads")

    Args:
        student: the network, with a readout of its own that is kept.

    Attributes:
        students: the student of each name.
        metrics: figures of each name on the test part of its task; empty before training.
    """

    def __init__(self, student: Student) -> None:
        self.student = student
        self.students: dict[str, Student] = {}
        self.metrics: dict[str, dict[str, float]] = {}

    def __getitem__(self, name: str) -> Student:
        return self.students[name]

    def add(self, name: str, targets: Space, width: int, generator: torch.Generator) -> Student:
        """Add a new readout, and return its student.

        Args:
            name: its name.
            targets: space of its targets.
            width: its hidden width.
            generator: source of its initial weights.

        Raises:
            ValueError: the name is taken or unusable.
        """
        if not isinstance(name, str) or not name or "." in name or name in self.students:
            raise ValueError(f"the name of a head is {name!r}; it must be a text of its own, without a dot")
        with drawing_from(generator):
            self._put(name, Readout(self._features, targets, width), targets, width)
        return self.students[name]

    def outputs(
        self,
        inputs: Shaped[Tensor, "B T *x"],
        memory: Float[Tensor, "B K d"] | None = None,
        resets: Shaped[Tensor, "..."] | None = None,
    ) -> tuple[dict[str, Float[Tensor, "B T V"]], Float[Tensor, "B K d"]]:
        """Compute every readout after each of ``inputs``, and the memory after the last one: ``Student.outputs``."""
        features, last = self.student.features(inputs, memory, resets)
        return {name: student.head(features) for name, student in self.students.items()}, last

    # -- files ------------------------------------------------------------------------------------

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the network and all readouts; ``Student.from_pretrained`` opens the network alone.

        Raises:
            CheckpointError: the folder holds something else, or cannot be written.
        """
        tensors = {
            f"{name}.{key}": t for name, one in self.students.items() for key, t in one.head.state_dict().items()
        }
        about = {
            name: {
                "targets": space_to_json(one.targets),
                "readout_width": one.readout_width,
                "trained_on": one.trained_on,
                "metrics": self.metrics.get(name, {}),
            }
            for name, one in self.students.items()
        }
        groups = {Path(WEIGHTS).stem: self.student.state_dict(), **({_NAME: tensors} if tensors else {})}
        checkpoint.write(Path(folder), groups, {Path(CONFIG).stem: self.student.to_config(), _NAME: about})

    @classmethod
    def from_pretrained(cls, folder: str | Path, cell: nn.Module | None = None) -> "Heads":
        """Open what ``save_pretrained`` wrote.

        Args:
            folder: folder of the heads.
            cell: a module of the same class and sizes, for a network with the user's own cell.

        Raises:
            ValueError: the folder holds no heads, or damaged ones.
        """
        folder = Path(folder)
        found = cls(Student.from_pretrained(folder, cell))
        tensors, documents = checkpoint.read(folder)
        if not isinstance(about := documents.get(_NAME), dict):
            raise ValueError(f"{folder} holds no heads; nounroll.Student.from_pretrained opens a network alone")
        for name, one in about.items():
            found._read(str(name), one, tensors.get(_NAME, {}), folder)
        return found

    def _read(self, name: str, about: Any, tensors: dict[str, Tensor], folder: Path) -> None:
        try:
            targets, width, kept = space_from_json(about["targets"]), int(about["readout_width"]), about["trained_on"]
            metrics = {key: float(value) for key, value in about["metrics"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{folder} holds no readable head {name}: {checkpoint.one_line(error)}") from error
        own = {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
        head = load_model(lambda: Readout(self._features, targets, width), own, folder, f"head {name}")
        self._put(name, head, targets, width)
        self.students[name].trained_on = kept if isinstance(kept, dict) else {}
        self.metrics |= {name: metrics} if metrics else {}

    @property
    def _features(self) -> int:
        return observe(self.student.cell, self.student.empty_memory).shape[-1]

    def _put(self, name: str, head: Readout, targets: Space, width: int) -> None:
        """Make a student of the network's own modules and another readout."""
        network = self.student
        with drawing_from(torch.Generator()):  # what it draws is replaced
            student = Student(network.inputs, targets, network.cell, readout_width=width)
        student.settings, student.empty_memory, student.head = network.settings, network.empty_memory, head
        self.students[name] = student.eval()
