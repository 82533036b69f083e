"""``nounroll data FILE``: what is understood of a table, and a run on it."""

import json
import warnings
from pathlib import Path

import pytest
import yaml

from nounroll.cli.main import main
from nounroll.core.notices import Notice

pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

ROLES = ["--role", "id=shop", "--role", "time=day", "--role", "target=sales", "--role", "future=offer"]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["shop;day;sales;offer;size;note"]
    for shop in ("Bonn", "Rome"):
        for day in range(1, 32):
            sales = "" if day % 9 == 0 else f"{1000 + 7 * day % 90},{day}"
            lines.append(f"{shop};{day:02}.01.2024;{sales};{day % 2};{'big' if shop == 'Rome' else 'small'};")
    Path("sales.csv").write_text("\n".join(lines) + "\n")


def test_it_shows_columns_roles_gaps_sequences_and_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "sales.csv", *ROLES, "--role", "static=size", "--set", "freq=D", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    columns = {one["name"]: one for one in found["columns"]}
    assert {name: (one["type"], one["role"], one["missing"]) for name, one in columns.items()} == {
        "shop": ("category", "id", 0),
        "day": ("time", "time", 0),
        "sales": ("numbers", "target", 6),
        "offer": ("whole numbers", "future", 0),
        "size": ("category", "static", 0),
        "note": ("empty", "ignore", 62),
    }
    assert found["rows"] == 62
    assert found["sequences"] == {"count": 2, "shortest": 31, "median": 31, "longest": 31, "names": ["Bonn", "Rome"]}
    assert {part: counts["scored"] for part, counts in found["parts"].items()} == {
        "train": 44,  # days 2 to 25 of two shops, without days 9 and 18, on which sales are missing
        "validation": 4,
        "test": 6,
    }
    assert found["inputs"] == "Real(d=5)"
    assert found["advice"] == ["column 'note' has no value at all and is left out"]
    assert main(["data", "sales.csv", *ROLES]) == 0
    shown = capsys.readouterr().out
    assert "62 rows; 2 sequences of 31 to 31 steps" in shown
    assert "odd: column 'note' has no value at all and is left out" in shown


def test_it_counts_the_rows_that_are_to_be_forecast(capsys: pytest.CaptureFixture[str]) -> None:
    ahead = [
        f"{shop};{day:02}.02.2024;;1;{size};"
        for shop, size in (("Bonn", "small"), ("Rome", "big"))
        for day in (1, 2, 3)
    ]
    Path("later.csv").write_text(Path("sales.csv").read_text() + "\n".join(ahead) + "\n")
    found = []
    for file in ("sales.csv", "later.csv"):
        assert main(["data", file, *ROLES, "--role", "ignore=size", "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[1]["rows"] == 68
    assert found[1]["advice"][0] == (
        "6 rows at the end of sequences have no target: they are not trained on, but forecast"
    )
    same = ("sequences", "parts", "inputs")
    assert {name: found[1][name] for name in same} == {name: found[0][name] for name in same}
    assert {one["name"]: one["type"] for one in found[0]["columns"] if one["role"] == "ignore"} == {
        "size": "not read",
        "note": "empty",
    }


def test_a_role_that_is_given_again_has_both_columns(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for roles in ([*ROLES[:6], "--role", "target=offer"], [*ROLES[:4], "--role", "target=sales,offer"]):
        assert main(["data", "sales.csv", *roles, "--set", "freq=D", "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert found[0]["recipe"]["options"]["roles"]["target"] == ["sales", "offer"]
    assert any(line.startswith("6 rows have a value in only some columns of the role") for line in found[0]["advice"])
    assert main(["data", "sales.csv", *ROLES, "--role", "time=size"]) == 2
    assert "table.roles.time is ['day', 'size']; it must name one column" in capsys.readouterr().err


def test_without_roles_it_shows_the_columns_and_what_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "sales.csv", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sequences"] is None
    assert {one["name"]: one["role"] for one in found["columns"] if one["guessed"]}["day"] == "time"
    assert "name the column that identifies the sequence by the role id" in found["advice"][0]
    assert found["advice"][-1].startswith("no column has the role target or label: name the column to predict")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--role", "id=shop", "--role", "target=sold"], "table.roles.target names the column 'sold'"),
        (["--role", "id"], "--role got 'id'; it takes NAME=VALUE"),
        (["--set", "colour=red"], "--set got 'colour'; the task table has path, roles"),
        (["--set", "ahead=["], "--set got ahead='[', which is no value of YAML"),
        (
            [*ROLES, "--set", "freq=h"],
            "column 'day', row 2: 2024-01-02 of 'Bonn' comes where 2024-01-01T01:00:00 is next",
        ),
        ([*ROLES, "--set", "ahead=-1"], "table.ahead is -1; it must be at least 0"),
        (
            [*ROLES, "--type", "sales=name"],
            "table.types gives 'sales' the type 'name'; it must be number, category, time",
        ),
    ],
)
def test_a_mistake_is_one_line_and_status_2(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "sales.csv", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_odd_columns_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["n,same,kind,key,y,day"]
    lines += [f"{i},7,{i % 4},key{i},{i / 3},2024-{1 + i // 28:02}-{1 + i % 28:02}" for i in range(150)]
    Path("odd.csv").write_text("\n".join(lines) + "\n")
    assert main(["data", "odd.csv", "--role", "target=y", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["advice"]
    for words in (
        "column 'n' counts the rows; leave it out by the role ignore, or make it the time",
        "column 'same' is constant (7); leave it out by the role ignore",
        "column 'kind' holds 4 whole numbers; if they name kinds, say so by --type kind=category",
        "column 'key' has a new name in most rows; leave it out by the role ignore, or make it the id",
        "times are 1 to 4 days apart, and the network reads rows as equal steps",
    ):
        assert any(line.startswith(words) for line in found), words


def test_what_is_shown_trains_from_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            [
                "data",
                "sales.csv",
                "--role",
                "id=shop",
                "--role",
                "target=sales",
                "--role",
                "ignore=day,offer,size",
                "--json",
            ]
        )
        == 0
    )
    task = json.loads(capsys.readouterr().out)["recipe"]
    recipe = {"task": task, "length": 24, "method": "bptt", "cell": {"kind": "gru"}, "training": {"steps": 3}}
    Path("sales.yaml").write_text(yaml.safe_dump(recipe))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        assert main(["train", "sales.yaml", "--out", "run", "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["metrics"]["steps"] == 3
    assert main(["evaluate", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sequences"] == 2  # one test piece of each shop, not the 256 asked for


def test_names_are_written_on_without_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("words.csv").write_text("t,word\n" + "".join(f"{i},{['la', 'di', 'da'][i % 3]}\n" for i in range(90)))
    task = {"kind": "table", "options": {"path": "words.csv", "roles": {"time": "t", "target": "word"}, "window": 8}}
    recipe = {"task": task, "length": 8, "method": "bptt", "cell": {"kind": "gru"}, "training": {"steps": 2}}
    Path("words.yaml").write_text(yaml.safe_dump(recipe))
    assert main(["train", "words.yaml", "--out", "run", "--json"]) == 0
    Path("words.csv").unlink()
    capsys.readouterr()
    assert main(["generate", "run", "--prompt", "la di", "--length", "4", "--json"]) == 0
    words = json.loads(capsys.readouterr().out)["text"].split()
    assert len(words) >= 4
    assert set(words) <= {"la", "di", "da"}


def test_a_recipe_is_shown_as_its_file_is_with_the_same_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "sales.csv", *ROLES, "--set", "freq=D", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    Path("recipes").mkdir()
    Path("recipes/sales.csv").write_text(Path("sales.csv").read_text())
    Path("sales.csv").unlink()
    roles = {"id": "shop", "time": "day", "target": "sales", "future": "offer"}
    options = {"path": "sales.csv", "roles": roles, "freq": "D"}
    Path("recipes/sales.yaml").write_text(yaml.safe_dump({"task": {"kind": "table", "options": options}, "length": 8}))
    assert main(["data", "recipes/sales.yaml", "--json"]) == 0  # its path leads from the recipe's folder
    again = json.loads(capsys.readouterr().out)
    for name in ("rows", "columns", "sequences", "parts", "inputs", "targets"):
        assert again[name] == found[name]
    assert main(["data", "recipes/sales.yaml", "--role", "static=size", "--json"]) == 0
    changed = json.loads(capsys.readouterr().out)
    assert {one["name"]: one["role"] for one in changed["columns"]}["size"] == "static"
    assert changed["recipe"]["options"]["roles"]["target"] == "sales"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("task: {kind: parity}\nlength: 8\n", "r.yaml has a task of kind parity; nounroll data shows tables"),
        ("task: {kind: table}\nlength: 8\n", "task.options.path is not set; table needs it"),
        ("colour: red\n", "colour"),
    ],
    ids=["another task", "no path", "no recipe"],
)
def test_what_is_no_recipe_of_a_table_is_one_line(document: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("r.yaml").write_text(document)
    assert main(["data", "r.yaml"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("nounroll data: ")
    assert line.count("\n") == 1
    assert said in line
