"""Registries: parts of installed packages by their entry points (trained in integration/test_added_parts.py)."""

from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest
import torch

from added_parts import AveragedEncoder, Echo, LeakyCell, Letters
from nounroll.cells import build_cell
from nounroll.cells.base import CELLS, CellSettings
from nounroll.core import registry
from nounroll.core.batch import Categorical
from nounroll.core.spaces import space_from_json
from nounroll.data import TASKS, build, describe
from nounroll.methods import METHODS, parse_chain
from nounroll.teacher.base import TEACHERS, TeacherSettings

Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Stand-in for an installed package: it adds entry points to a group."""

    def added(group: str, **places: str) -> None:
        points = {name: EntryPoint(name, value, group) for name, value in places.items()}
        monkeypatch.setattr(registry, "installed", lambda asked: points if asked == group else {})

    return added


@pytest.mark.parametrize(
    ("parts", "name", "place"),
    [
        pytest.param(CELLS, "leaky", "added_parts:LeakyCell", id="cell"),
        pytest.param(TASKS, "echo", "added_parts:Echo", id="task"),
        pytest.param(TEACHERS, "averaged", "added_parts:AveragedEncoder", id="teacher"),
        pytest.param(METHODS, "last_step", "added_parts:LastStep", id="method"),
    ],
)
def test_a_part_of_a_package_is_named_beside_nounrolls_own(
    parts: registry.Registry[type], name: str, place: str, install: Install
) -> None:
    with pytest.raises(ValueError, match=f"^{parts.setting} is '{name}'; it must be one of {', '.join(parts)}$"):
        parts.load(name)
    install(parts.group, **{name: place})
    assert parts.load(name).__name__ == place.partition(":")[2]
    assert list(parts)[-1] == name


def test_settings_name_parts_of_packages(install: Install) -> None:
    install("nounroll.cells", leaky="added_parts:LeakyCell")
    assert CELLS.load(CellSettings(kind="leaky").kind) is LeakyCell
    install("nounroll.teachers", averaged="added_parts:AveragedEncoder")
    assert TEACHERS.load(TeacherSettings(kind="averaged").kind) is AveragedEncoder
    install("nounroll.tasks", echo="added_parts:Echo")
    assert isinstance(build("echo", {"symbols": 5}), Echo)
    install("nounroll.methods", last_step="added_parts:LastStep")
    assert parse_chain("smt+last_step") == ("smt", "last_step")


def test_a_space_of_a_package_is_opened_by_its_name(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    from nounroll.core.spaces import registry as spaces

    monkeypatch.setattr(spaces, "_SPACES", {})
    monkeypatch.setattr(
        spaces, "installed", lambda group: {"letters": EntryPoint("letters", "added_parts:Letters", group)}
    )
    assert space_from_json({"kind": "letters", "n": 4}) == Letters(4)


def test_a_name_of_nounrolls_own_cannot_be_taken(install: Install) -> None:
    install("nounroll.cells", gru="added_parts:LeakyCell")
    with pytest.raises(
        ValueError, match=r"^cell\.kind is 'gru', which is nounroll's own and also added_parts:LeakyCell"
    ):
        CELLS.load("gru")


def test_two_packages_cannot_share_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("leaky", value, "nounroll.cells") for value in ("one:Cell", "one:Cell", "other:Cell")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points[:2])
    assert list(registry.installed.__wrapped__("nounroll.cells")) == ["leaky"]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    with pytest.raises(ValueError, match="two parts named 'leaky', one:Cell and other:Cell"):
        registry.installed.__wrapped__("nounroll.cells")


@pytest.mark.parametrize("place", ["added_parts:No", "no_such_package:Cell"])
def test_a_part_that_cannot_be_imported_is_named(place: str, install: Install) -> None:
    install("nounroll.cells", leaky=place)
    with pytest.raises(ValueError, match=f"^the entry point leaky = {place} of nounroll.cells: "):
        CELLS.load("leaky")


class NoSizes(torch.nn.Module):
    """A cell whose constructor takes nothing."""

    memory_shape = (1, 4)

    def __init__(self) -> None:
        super().__init__()


class NoStep(torch.nn.Module):
    """A module that is no cell."""

    def __init__(self, inputs: object, memory_shape: tuple[int, int]) -> None:
        super().__init__()
        self.memory_shape = memory_shape


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NoSizes", r"^cell\.kind is 'added'; NoSizes is called with \(Categorical, tuple\): "),
        ("NoStep", r"^NoStep has no step\(inputs, memory\) method"),
    ],
)
def test_a_cell_that_is_none_is_told_in_one_line(name: str, said: str, install: Install) -> None:
    install("nounroll.cells", added=f"test_registry:{name}")
    with pytest.raises(ValueError, match=said):
        build_cell(CellSettings(kind="added"), Categorical(3))


class Plain(Echo):
    """A task without a constructor of its own."""

    __init__ = object.__init__  # type: ignore[assignment]
    inputs = targets = Letters(3)


class Untyped(Echo):
    """A task whose option has no type."""

    def __init__(self, path) -> None:  # type: ignore[no-untyped-def]
        super().__init__()


def test_a_task_without_a_constructor_has_no_options(install: Install) -> None:
    install("nounroll.tasks", plain="test_registry:Plain", untyped="test_registry:Untyped")
    assert describe("plain")[1] == []
    assert isinstance(build("plain"), Plain)
    with pytest.raises(ValueError, match="annotate each argument of __init__, such as path: int = 3"):
        describe("untyped")
