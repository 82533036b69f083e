"""Recipes with one fault each, as files: (what is wrong, content, what the message has to hold)."""

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from nounroll.experiments.recipe import Recipe

JUNK: dict[type, list[Any]] = {  # never right for a setting of this type
    int: ["x", 1.5, True, [1], {"a": 1}, "", "0x1g", float("nan")],
    float: ["x", True, [1.0], {"a": 1}, "", float("nan"), float("inf"), float("-inf")],
    bool: ["x", 2, 0.5, [True], {"a": 1}, ""],
    str: [3, 1.5, True, ["x"], {"a": 1}],
    dict: ["x", 3, ["x"], True],
}


class Bad(NamedTuple):
    """A file that has to be refused."""

    fault: str
    content: bytes
    said: str


def leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The place of every setting."""
    found = []
    for name, value in tree.items():
        is_group = isinstance(value, dict) and name != "options"
        found += leaves(value, (*path, name)) if is_group else [(*path, name)]
    return found


def bad_recipes(recipe: Recipe) -> list[Bad]:
    """Every setting with every value of a wrong type, unknown names everywhere, and files that are no recipe."""
    return [*_wrong_types(recipe), *_unknown(recipe), *_no_recipes(recipe)]


def _wrong_types(recipe: Recipe) -> Iterator[Bad]:
    for place in leaves(recipe.to_dict()):
        value = _at(recipe.to_dict(), place[:-1])[place[-1]]
        for junk in JUNK[type(value)]:
            tree = recipe.to_dict()
            _at(tree, place[:-1])[place[-1]] = junk
            yield Bad(f"{'.'.join(place)} = {junk!r}", _yaml(tree), ".".join(place))


def _unknown(recipe: Recipe) -> Iterator[Bad]:
    groups = {place[:-1] for place in leaves(recipe.to_dict())}
    for group in sorted(groups):
        for name in ("hue", "Width", "lenght ", "", 7, None, "é", "a.b", "x\x1b[31m"):
            tree = recipe.to_dict()
            _at(tree, group)[name] = 1
            yield Bad(f"{'.'.join(group)} has {name!r}", _yaml(tree), "is unknown; ")
        if group:
            for value in (None, 3, "x", [1], True):
                tree = recipe.to_dict()
                _at(tree, group[:-1])[group[-1]] = value
                yield Bad(f"{group} = {value!r}", _yaml(tree), f"{group[-1]} is {value!r}; it must be a group")
    for name in ("task", "length"):
        tree = recipe.to_dict()
        del tree[name]
        yield Bad(f"no {name}", _yaml(tree), f"{name} is missing; a recipe needs it")


def _no_recipes(recipe: Recipe) -> Iterator[Bad]:
    whole = _yaml(recipe.to_dict())
    laughs = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    for fault, content in {
        "empty": b"",
        "only spaces": b" \n \n",
        "only a comment": b"# length: 8\n",
        "null": b"null\n",
        "a list": b"- length: 8\n",
        "a word": b"recipe\n",
        "a number": b"8\n",
        "two documents": whole + b"---\n" + whole,
        "JSON cut short": b'{"length": 8, "task": {',
        "a tab": b"task:\n\tkind: parity\n",
        "an open bracket": b"length: [8\n",
        "an open quote": b'name: "run\n',
        "a bad indent": b"task:\n    kind: parity\n  options: {}\n",
        "two colons": b"length: 8: 9\n",
        "a key that is a list": b"? [a]\n: 8\n",
        "the same name twice": whole + b"length: 9\n",
        "the same name twice in a group": b"length: 8\ntask: {kind: parity, kind: copy}\n",
        "an unknown alias": b"length: *eight\n",
        "an alias of itself": b"length: 8\ntask: &t {kind: parity, options: *t}\n",
        "a billion laughs": b"a0: &a0 [lol]\n" + laughs.encode(),
        "a Python object": b"name: !!python/object/apply:os.system ['true']\n",
        "a Python name": b"name: !!python/name:os.system\n",
        "an unknown tag": b"length: !eight 8\n",
        "a date that is none": b"length: 2026-13-45\n",
        "a number of 5,000 digits": b"length: " + b"9" * 5000 + b"\n",
        "100,000 brackets": b"length: " + b"[" * 100_000,
        "deep and closed": b"length: " + b"[" * 5000 + b"]" * 5000 + b"\n",
        "UTF-16": whole.decode().encode("utf-16"),
        "UTF-32": whole.decode().encode("utf-32"),
        "Latin-1": whole + "name: résumé\n".encode("latin-1"),
        "a zero byte": whole + b"\0",
        "a control character": whole + b"x: \x07\n",
        "noise": bytes(range(256)) * 8,
        "a zip": b"PK\x03\x04" + bytes(64),
        "a gzip": b"\x1f\x8b\x08\x00" + bytes(64),
        "a pickle": b"\x80\x04cposix\nsystem\n.",
        "16 MB": b"# " + b"x" * (16 << 20),
    }.items():
        yield Bad(fault, content, "recipe ")


def _at(tree: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for name in path:
        tree = tree[name]
    return tree


def _yaml(tree: dict[Any, Any]) -> bytes:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # 500 files are written before the first test begins
    return yaml.dump(copy.deepcopy(tree), Dumper=dumper, sort_keys=False, allow_unicode=True).encode()
