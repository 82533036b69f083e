from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nounroll.core.batch import Categorical
from nounroll.data.strokes import Strokes
from nounroll.data.task import SequenceTask, draw

FORM = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.0//EN" "http://www.w3.org/TR/2001/REC-SVG-20010904/DTD/svg10.dtd" [
<!ATTLIST g
kvg:element CDATA #IMPLIED >
]>
<svg xmlns="http://www.w3.org/2000/svg" {box} xmlns:kvg="https://kanjivg.tagaini.net/">
<g id="kvg:StrokePaths" style="fill:none;stroke:#000000;stroke-width:3;">
<g kvg:element="x">{shapes}</g>
</g>
<g id="kvg:StrokeNumbers"><text transform="matrix(1 0 0 1 4.25 54.13)">1</text></g>
</svg>
"""
BOX = 'width="80" height="80" viewBox="0 0 80 80"'


def svg(*paths: str, box: str = BOX) -> bytes:
    return FORM.format(box=box, shapes="".join(f'<path d="{d}"/>' for d in paths)).encode()


def folder_of(folder: Path, *drawings: bytes) -> Path:
    """The same drawing twice when there is one: a folder has to hold two at least."""
    folder.mkdir(exist_ok=True)
    for i, drawing in enumerate(drawings * (2 if len(drawings) == 1 else 1)):
        (folder / f"{i:05x}.svg").write_bytes(drawing)
    return folder


def picture(folder: Path, *paths: str, box: str = BOX) -> list[str]:
    task = Strokes(path=folder_of(folder, svg(*paths, box=box)), side=8)
    return task.decode(draw(task, 1, 64, 0, "train").targets[0]).split("\n")


def test_lines_are_one_pixel_wide(tmp_path: Path) -> None:
    cross = [" " * 8, "@@@@@@@@", *["    @   "] * 6]
    assert picture(tmp_path / "a", "M0,15H79", "M45,15V79") == cross
    assert picture(tmp_path / "b", "M0,15H79M45,15v64") == cross  # two lines of one path
    assert picture(tmp_path / "c", "M5,20H84M50,20V84", box='viewBox="5 5 80 80"') == cross
    assert picture(tmp_path / "d", "M0,1.5H7.9M4.5,1.5V7.9", box='width="8" height="8"') == cross


def test_curves(tmp_path: Path) -> None:
    """A semicircle, nearly: relative and smooth curves, as KanjiVG writes them."""
    rows = picture(tmp_path, "M5,75c0-35,20-65,35-65s35,30,35,65")
    assert rows[1][3:5] == "@@"
    assert rows[7][0] == rows[7][7] == "@"
    assert all(row == row[::-1] or abs(row.index("@") - row[::-1].index("@")) <= 1 for row in rows[1:])
    assert not any("@" in row for row in rows[:1])


def test_a_closed_shape(tmp_path: Path) -> None:
    assert picture(tmp_path, "M5,5H75V75H5Z") == ["@" * 8, *["@      @"] * 6, "@" * 8]


def numbers(task: SequenceTask) -> set[int]:
    """Which drawings are seen: drawing i is a line at height i."""
    rows = draw(task, 400, 1024, 0, "any").targets.view(-1, 32, 32)
    return set(rows.any(2).long().argmax(1).tolist())


def test_a_tenth_is_held_out(tmp_path: Path) -> None:
    drawings = [svg(f"M0,{i + 0.5}H31", box='viewBox="0 0 32 32"') for i in range(30)]
    task = Strokes(path=folder_of(tmp_path, *drawings), side=32)
    assert (task.inputs, task.targets, task.max_length) == (Categorical(3), Categorical(2), 1024)
    train, validation, test = numbers(task), numbers(task.validation()), numbers(task.test())
    assert train | validation | test == set(range(30))
    assert (len(train), len(validation), len(test)) == (27, 1, 2)
    assert task.prompt().tolist() == [2]


def test_the_package_without_its_variants(installed: Callable[[str, dict[str, bytes]], None]) -> None:
    line, variant = svg("M0,5H79"), svg("M0,75H79")
    installed("kanjivg", {"kanji/04e00.svg": line, "kanji/04e01.svg": line, "kanji/04e00-Kaisho.svg": variant})
    for part in (Strokes(), Strokes().validation()):
        rows = draw(part, 20, 784, 0, "any").targets.view(20, 28, 28)
        assert torch.equal(rows.any(2).nonzero()[:, 1], torch.ones(20, dtype=torch.int64))


def test_the_real_package() -> None:
    pytest.importorskip("kanji")
    task = Strokes()
    assert len(task._rows) > 5000
    assert 0.02 < float(draw(task, 500, 784, 0, "train").targets.double().mean()) < 0.25  # sparse


@pytest.mark.parametrize(
    ("drawing", "reason"),
    [
        (b"<svg", "unclosed token"),
        (b"", "no element found"),
        (svg("M0,0L9"), ""),
        (svg("M0,0L9,9", box=""), r"it needs a viewBox, or width and height, and has \[0.0, 0.0\]"),
        (svg("M0,0L9,9", box='viewBox="0 0 0 0"'), r"and has \[0.0, 0.0, 0.0, 0.0\]"),
        (svg("M0,0L9,9", box='viewBox="0 0 a 9"'), "could not convert string to float: 'a'"),
        (svg("M0,0L9e30,9"), "a line runs far out of the picture"),
        (
            svg("M0,0L9,9").replace(b"<g id", b'<g transform="scale(2)" id'),
            "it transforms groups, which is not supported",
        ),
    ],
)
def test_bad_drawings(tmp_path: Path, drawing: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"^strokes\.path is '.*00000\.svg'; it cannot be read \(.*{reason}.*\)$"):
        Strokes(path=folder_of(tmp_path, drawing))


def test_errors_name_setting_and_value(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^strokes\.path is 'nowhere'; there is no such file or folder$"):
        Strokes(path="nowhere")
    with pytest.raises(ValueError, match=r"^strokes\.path is '.*'; it must be a folder that holds \.svg files$"):
        Strokes(path=tmp_path)
    (tmp_path / "one.svg").write_bytes(svg("M0,0L9,9"))
    with pytest.raises(ValueError, match=r"^strokes\.path '.*' has too few sequences, 1; at least 2 are needed"):
        Strokes(path=tmp_path)
