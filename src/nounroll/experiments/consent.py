"""Consent: a recipe reads data outside its own folder only if the user agrees.

The user agrees by naming the path in the command (``--set task.options.path=...``) or by ``--trust``. A run remembers
this in ``consent.json``: one signature per path, made with the user's own key. The key is created on first use and
never leaves the user's configuration folder, so a folder from a stranger cannot contain a valid signature.
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from filelock import FileLock

from nounroll import data
from nounroll.data.task import SequenceTask
from nounroll.experiments.recipe import Recipe
from nounroll.storage import files
from nounroll.storage.trust import is_trusted

CONSENT = "consent.json"
_KEY_BYTES = 32


def build_task(recipe: Recipe) -> SequenceTask:
    """Build the task of a recipe if its data is inside the recipe's folder or the user has consented.

    Raises:
        ValueError: there is no consent, or an option or the data is not usable.
    """
    check(recipe)
    return data.build(recipe.task.kind, recipe.task.options)


def check(recipe: Recipe) -> None:
    """Refuse a recipe from a file that names a path outside its folder, unless the user has consented.

    Raises:
        ValueError: there is no consent; the message names the setting and the path.
    """
    if recipe.origin is None:
        return
    for name, path in _paths(recipe):
        if not recipe.origin.is_typed(name):
            way = f"or where it is an option: --set {name}={os.path.abspath(path)}"
            check_path(name, path, recipe.origin.folder, way)


def check_path(name: str, path: Path, folder: Path, way: str) -> None:
    """Refuse a path that a file in a folder names and that leads outside the folder, unless the user has consented.

    Args:
        name, path: name and value of the setting.
        folder: folder of the recipe or run.
        way: what helps besides ``--trust``, for the message.

    Raises:
        ValueError: there is no consent.
    """
    if is_trusted() or _is_signed(_read_signatures(folder), name, path):
        return
    for place in _leading_out(path, folder):
        what = "which is" if place == Path(os.path.realpath(path)) else f"in which '{place}' leads"
        raise ValueError(
            f"{name} is '{path}', {what} outside the recipe's folder '{folder}'; add --trust to read it, {way}"
        )


def remember(recipe: Recipe, folder: Path, more: Mapping[str, Path]) -> None:
    """Record in a run's folder that the user consented to the paths of its recipe, and to ``more`` by their names.

    If no key can be stored, nothing is recorded, and a later command needs ``--trust`` again.
    """
    given = {**dict(_paths(recipe)), **more}
    key = _key(make=True) if given else None
    if key is not None:
        document = {name: _signature(key, name, path) for name, path in given.items()}
        files.write_bytes(folder / CONSENT, (json.dumps(document, indent=1) + "\n").encode())


def _paths(recipe: Recipe) -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and the value of every setting that is a path."""
    with contextlib.suppress(ValueError):  # an unknown kind is reported by the builder of the task
        for option in data.describe(recipe.task.kind)[1]:
            value = recipe.task.options.get(option.name)
            if "Path" in option.type and isinstance(value, str | os.PathLike):
                yield f"task.options.{option.name}", Path(value)
    if recipe.smt.teacher:
        yield "smt.teacher", Path(recipe.smt.teacher)


def _leading_out(path: Path, folder: Path) -> Iterator[Path]:
    """Yield the places outside a folder that a path leads to: its own target, and the targets of links below it."""
    root, place = os.path.realpath(folder), os.path.realpath(path)
    if not _is_inside(place, root):
        yield Path(place)
        return
    for parent, folders, names in os.walk(place):
        for entry in (os.path.join(parent, name) for name in (*folders, *names)):
            if os.path.islink(entry) and not _is_inside(os.path.realpath(entry), root):
                yield Path(entry)


def _is_inside(place: str, root: str) -> bool:
    return Path(place).is_relative_to(root)


# -- signatures -----------------------------------------------------------------------------------


def _signature(key: bytes, name: str, path: Path) -> str:
    return hmac.new(
        key, f"{name}\0{os.path.realpath(path)}".encode(errors="surrogateescape"), hashlib.sha256
    ).hexdigest()


def _is_signed(signatures: dict[str, str], name: str, path: Path) -> bool:
    key = _key(make=False) if name in signatures else None
    return key is not None and hmac.compare_digest(signatures[name], _signature(key, name, path))


def _read_signatures(folder: Path) -> dict[str, str]:
    """Read the signatures in a run's folder; empty if there are none or they cannot be read."""
    try:
        document = json.loads(files.read_bytes(folder / CONSENT))
    except (OSError, ValueError, RecursionError):
        return {}
    found = document.items() if isinstance(document, dict) else ()
    return {name: value for name, value in found if isinstance(value, str) and value.isascii()}


def _key(*, make: bool) -> bytes | None:
    """Read or make the user's own key; None if there is none and none can be made."""
    try:
        path = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "nounroll" / "key"
        if make and not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(path.with_name(".lock")):  # a second key would make the signatures by the first invalid
                if not path.exists():
                    files.write_bytes(path, secrets.token_bytes(_KEY_BYTES), mode=0o600)
        key = files.read_bytes(path, _KEY_BYTES)
    except (OSError, RuntimeError):  # no such file, a read-only disk, a user without a home
        return None
    return key if len(key) == _KEY_BYTES else None
