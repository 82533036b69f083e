"""``nounroll resume`` says what differs, refuses other data, and goes on with ``--force``."""

from pathlib import Path

from commands import Command, one_line
from nounroll.storage import checkpoint


def test_data_that_has_changed_is_refused_and_force_goes_on(nounroll: Command) -> None:
    assert nounroll("train", "text.yaml", "--out", "run").status == 0
    book = Path("book.txt")
    book.write_text(book.read_text() * 2)
    said = one_line(nounroll("resume", "run"), 2, "nounroll resume: the data has changed since run/checkpoints/step-")
    assert said.endswith("put it back, train a new run, or continue with --force\n")
    recipe = Path("run/recipe.yaml").read_text()
    one_line(nounroll("resume", "run", "--steps", "2"), 2, "nounroll resume: the data has changed since")
    assert Path("run/recipe.yaml").read_text() == recipe  # what is refused adds no budget
    ended = nounroll("resume", "run", "--force")
    one_line(ended, 0, "nounroll: the data has changed since run/checkpoints/step-")


def test_a_recipe_that_has_changed_is_refused_and_force_goes_on(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml", "--out", "run").status == 0
    recipe = Path("run/recipe.yaml")
    recipe.write_text(recipe.read_text().replace("learning_rate: 0.001", "learning_rate: 0.002"))
    assert "training.learning_rate is 0.002, and" in one_line(nounroll("resume", "run"), 2)
    assert nounroll("resume", "run", "--force").status == 0


def test_a_damaged_checkpoint_and_a_log_cut_short_are_said_in_a_line_each(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml", "--out", "run").status == 0
    newest = max(Path("run/checkpoints").iterdir())
    (newest / "student.safetensors").write_bytes(b"")
    log = Path("run/metrics.jsonl")
    log.write_bytes(log.read_bytes()[:20])
    ended = nounroll("resume", "run")
    assert ended.status == 0
    damaged, lost = ended.error.splitlines()
    assert damaged.startswith(f"nounroll: {newest}/student.safetensors is damaged: it holds 0 bytes")
    assert lost.startswith("nounroll: run/metrics.jsonl has lost ")
    assert nounroll("verify", "run").status == 0


def test_a_setting_that_is_gone_is_said_once_before_the_run_trains_without_it(nounroll: Command) -> None:
    file = Path("tiny.yaml")
    file.write_text(file.read_text() + "tbptt: {window: 4, noise: 0.5}\n")
    gone = "nounroll: tbptt.noise is 0.5; it has no effect any more"
    one_line(nounroll("train", "tiny.yaml", "--method", "tbptt", "--out", "run"), 0, gone)
    recipe = Path("run/recipe.yaml")  # as 0.2.0 wrote it, and its checkpoints
    recipe.write_text(recipe.read_text().replace("\ntbptt:\n", "\ntbptt:\n  noise: 0.5\n"))
    for folder in list(Path("run/checkpoints").iterdir()):
        tensors, documents = checkpoint.read(folder)
        documents["recipe"]["tbptt"]["noise"] = 0.5
        checkpoint.write(folder, tensors, documents)
    assert nounroll("evaluate", "run").error == ""
    one_line(nounroll("resume", "run", "--steps", "2"), 0, gone)
    assert nounroll("resume", "run", "--steps", "2").error == ""
