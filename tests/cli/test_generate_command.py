"""Generate: text, numbers, pixels."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from commands import Command, one_line


def test_text_goes_on_from_its_prompt_and_is_the_same_for_the_same_seed(nounroll: Command) -> None:
    assert nounroll("train", "text.yaml").status == 0
    words = ["generate", "runs/text", "--prompt", "It was", "--length", "20", "--json"]
    texts = [json.loads(nounroll(*words, "--seed", seed).out)["text"] for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].startswith("It was")
    likeliest = [json.loads(nounroll(*words, *more).out)["text"] for more in (("--temperature", 0), ("--top-k", 1))]
    assert likeliest[0] == likeliest[1]


def test_text_ends_at_the_first_stop_which_is_left_out(nounroll: Command) -> None:
    assert nounroll("train", "text.yaml").status == 0
    words = ["generate", "runs/text", "--prompt", "It was", "--length", "60", "--json"]
    whole = json.loads(nounroll(*words).out)["text"]
    written = whole[len("It was") :]
    stops = [character for character in written if character.isascii()][3:7:3]
    ended = json.loads(nounroll(*words, "--stop", stops[1], "--stop", stops[0]).out)["text"]
    end = min(place for place in map(written.find, stops) if place >= 0)
    assert ended == "It was" + written[:end]
    assert json.loads(nounroll(*words, "--stop", "never is this written").out)["text"] == whole


def test_a_stop_may_begin_and_end_within_a_token(nounroll: Command, folder: Path) -> None:
    pytest.importorskip("transformers")
    from pretrained_models import save_tokenizer

    save_tokenizer(folder / "model", text="It was a dark and stormy night. ")
    tokenizer = ("--set", "task.options.tokenizer=model")
    assert nounroll("train", "text.yaml", *tokenizer).status == 0
    words = ["generate", "runs/text", "--prompt", "It was", "--length", "300", "--json"]
    whole = json.loads(nounroll(*words).out)["text"]
    written = whole[len("It was") :]
    stops = [one for one in map("".join, itertools.pairwise("a dark and stormy night.")) if one in written]
    assert len(stops) > 2  # of the words that are tokens
    for stop in stops[:3]:
        ended = json.loads(nounroll(*words, "--stop", stop).out)["text"]
        assert ended == "It was" + written[: written.find(stop)]
    assert json.loads(nounroll(*words, "--stop", "never is this written").out)["text"] == whole


def test_without_a_prompt_it_starts_at_the_tasks_beginning(nounroll: Command) -> None:
    assert nounroll("train", "text.yaml").status == 0
    result = json.loads(nounroll("generate", "runs/text", "--json").out)
    assert result["prompt"] is None
    assert result["text"].startswith("\n")


def test_control_characters_do_not_reach_the_terminal(nounroll: Command) -> None:
    assert nounroll("train", "text.yaml").status == 0
    out = nounroll("generate", "runs/text", "--prompt", "\x1b[31m", "--length", 1).out
    assert out.startswith("�[31m")


def test_a_series_goes_on_in_the_units_of_its_file(nounroll: Command) -> None:
    assert nounroll("train", "series.yaml").status == 0
    ended = nounroll("generate", "runs/series", "--prompt", "3,2.5 4,3.5", "--length", 2, "--temperature", 0)
    assert ended.out.startswith("3,2.5 4,3.5 ")
    assert len(ended.out.split()) == 4


def test_images_are_drawn_as_characters_and_as_a_grid(nounroll: Command) -> None:
    assert nounroll("train", "digits.yaml").status == 0
    ended = nounroll("generate", "runs/digits")
    assert [len(line) for line in ended.out.splitlines()] == [8] * 8
    ended = nounroll("generate", "runs/digits", "--image", "grid.png", "--json")
    assert json.loads(ended.out)["image"] == "grid.png"
    grid = imread("grid.png")
    assert grid.shape[0] == grid.shape[1] > 4 * 8
    assert 2 < len(np.unique(grid)) <= 17, "grey levels"


@pytest.mark.parametrize(
    ("recipe", "words", "said"),
    [
        ("text", ["--prompt", ""], "prompt is empty"),
        ("text", ["--stop", ""], "--stop is empty"),
        ("series", ["--stop", "1,2"], "only symbols can end a text"),
        ("digits", ["--image", "a.png", "--stop", "1"], "an image contains no text, so leave out"),
        ("text", ["--length", 0], "--length is 0; it must be at least 1"),
        ("text", ["--top-k", 0], "top_k is 0; it must be at least 1"),
        ("text", ["--temperature", -1], "temperature is -1.0; it must be at least 0"),
        ("text", ["--image", "a.png"], "--image is 'a.png'; it must be a .png file, and the task one of pixels"),
        ("digits", ["--image", "a.jpg"], "--image is 'a.jpg'; it must be a .png file"),
        ("digits", ["--prompt", "1 2 99"], "prompt holds the symbol 99; Categorical(18) allows 0..17"),
        ("digits", ["--prompt", " 0" * 64], "--prompt has 64 pixels; it must be shorter than a whole image"),
        ("digits", ["--prompt", "one"], "prompt is 'one'; this task reads numbers between spaces"),
        ("tiny", [], "runs/tiny was trained on parity; its targets are not the next inputs"),
    ],
)
def test_mistakes(nounroll: Command, recipe: str, words: list[object], said: str) -> None:
    assert nounroll("train", f"{recipe}.yaml", "--steps", 1).status == 0
    assert said in one_line(nounroll("generate", f"runs/{recipe}", *words), 2, "nounroll generate: ")


def test_a_picture_that_cannot_be_written_names_its_file(nounroll: Command) -> None:
    assert nounroll("train", "digits.yaml", "--steps", 1).status == 0
    Path("file").write_text("")
    line = one_line(nounroll("generate", "runs/digits", "--image", "file/grid.png"), 1)
    assert line == "nounroll generate: file/grid.png: Not a directory\n"
