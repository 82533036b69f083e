"""Memory of twenty tasks on one network, beside that of one network.

    python benchmarks/heads.py          two CPU minutes; writes heads.json and heads.md in docs/adapt/

A network learns Python's standard library for 30 CPU seconds. Twenty readouts then answer a question each about the
next character for another 30: ``nounroll.adapt_many``. Beside them, one network learns the first question alone, with
all of its weights, in as many seconds. Each is measured in a process of its own: the numbers that training holds
(weights, gradients, moments of the optimiser), the files, and the peak of resident memory above what the process held
before it began, with Python, torch and the network loaded.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from suite_run import ROOT, commit, write

OUT, LENGTH, SECONDS, SEED = ROOT / "docs" / "adapt", 128, 30.0, 0
LETTERS = "etaoinsr"
QUESTIONS: dict[str, str] = {
    "letter": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "capital": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "digit": "0123456789",
    "space": " ",
    "end of line": "\n",
    "underscore": "_",
    "point": ".",
    "comma": ",",
    "quote": "\"'",
    "opens": "([{",
    "closes": ")]}",
    "sign": "+-*/=<>%&|^~",
    **{f"letter {one}": one for one in LETTERS},
}


ABOUT = """\
Written by `python benchmarks/heads.py`. A network learnt to write Python's standard library for 30 CPU seconds. Then 20
readouts learnt one question each about the next character, by `nounroll.adapt_many`, in 30 CPU seconds for all.
The files of the last column hold the network, its old readout and the new ones. For comparison, all weights of the
network learnt one of the questions by BPTT, also in 30 CPU seconds. Each was measured in a separate process.
"""


def questions() -> dict[str, Any]:
    """A task of each question; all of them read the same windows of text."""
    import torch

    import nounroll
    from nounroll.data.text import Text

    class Question(nounroll.SequenceTask):
        targets = nounroll.Categorical(2)

        def __init__(self, text: nounroll.SequenceTask, characters: str) -> None:
            self.text, self.inputs, self.characters = text, text.inputs, torch.tensor([*characters.encode()])

        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> nounroll.Batch:
            batch = self.text.sample(batch_size, length, generator)
            return nounroll.Batch(batch.inputs, torch.isin(batch.targets, self.characters).long())

        def validation(self) -> nounroll.SequenceTask:
            return Question(self.text.validation(), "".join(map(chr, self.characters.tolist())))

        def test(self) -> nounroll.SequenceTask:
            return Question(self.text.test(), "".join(map(chr, self.characters.tolist())))

    text = Text()
    return {name: Question(text, characters) for name, characters in QUESTIONS.items()}


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def learnt(folder: Path) -> dict[str, Any]:
    """The network that all begin with."""
    import nounroll
    from nounroll.data.text import Text

    run = nounroll.fit(Text(), method="tbptt", cell="lstm", length=LENGTH, seconds=SECONDS, seed=SEED)
    run.student.save_pretrained(folder / "network")
    weights = sum(p.numel() for p in run.student.parameters())
    return {"bits": run.metrics["bits"], "weights": weights, "bytes of files": size(folder / "network")}


def heads(folder: Path) -> dict[str, Any]:
    """Twenty readouts."""
    import nounroll

    student, tasks = nounroll.Student.from_pretrained(folder / "network"), questions()
    before = peak()
    found = nounroll.adapt_many(student, tasks, length=LENGTH, seconds=SECONDS, seed=SEED)
    above = peak() - before
    found.save_pretrained(folder / "heads")
    fixed = sum(p.numel() for p in student.parameters())
    trained = sum(p.numel() for one in found.students.values() for p in one.head.parameters())
    guess = {name: _guess(task) for name, task in tasks.items()}
    return {
        "numbers": fixed + 4 * trained,
        "weights": fixed + trained,
        "bytes of files": size(folder / "heads"),
        "peak": above,
        "accuracy": {name: [one["accuracy"], guess[name]] for name, one in found.metrics.items()},
    }


def one(folder: Path) -> dict[str, Any]:
    """One network that learns one question with all of its weights."""
    import nounroll

    student, tasks = nounroll.Student.from_pretrained(folder / "network"), questions()
    name, task = next(iter(tasks.items()))
    before = peak()
    run = nounroll.fit(task, student=student, method="bptt", length=LENGTH, seconds=SECONDS, seed=SEED)
    above = peak() - before
    run.student.save_pretrained(folder / "one")
    weights = sum(p.numel() for p in run.student.parameters())
    return {
        "numbers": 4 * weights,
        "weights": weights,
        "bytes of files": size(folder / "one"),
        "peak": above,
        "accuracy": {name: [run.metrics["accuracy"], _guess(task)]},
    }


def _guess(task: Any) -> float:
    """Share of the more frequent answer in the test part."""
    from nounroll.rollout.evaluate import validation_batches

    answers = [batch.targets.float().mean() for batch in validation_batches(task, 0, LENGTH, SEED, stream="test")]
    share = float(sum(answers) / len(answers))
    return max(share, 1 - share)


def page(found: dict[str, Any]) -> str:
    """The tables."""
    ours, other = found["heads"], found["one"]
    network = found["learnt"]
    rows = {
        "weights": ("weights", "{:,.0f}"),
        "bytes of files": ("bytes of their files", "{:,.0f}"),
        "numbers": ("weights, gradients and moments in training", "{:,.0f}"),
        "peak": ("peak of resident memory above the start of training, in MiB", "{:,.1f}"),
    }
    lines = ["# Twenty tasks on one network", "", ABOUT]
    lines += [
        "| | the network, before | trained for one question | with 20 more readouts |",
        "| --- | --- | --- | --- |",
    ]
    for key, (title, form) in rows.items():
        values = (form.format(one[key]) if key in one else "" for one in (network, other, ours))
        lines += [f"| {title} | {' | '.join(values)} |"]
    name, (accuracy, _) = next(iter(other["accuracy"].items()))
    lines += [
        "",
        f"Accuracy in the test part. The network that learnt only the question {name} has {accuracy:.3f}.",
        "",
    ]
    lines += ["| the next character | 20 heads | the more frequent answer |", "| --- | --- | --- |"]
    lines += [f"| {name} | {a:.3f} | {g:.3f} |" for name, (a, g) in ours["accuracy"].items()]
    lines += ["", f"- `{found['command']}` (commit {found['commit'][:9]}, {found['date']}, {found['machine']})"]
    return "\n".join(lines) + "\n"


def main(words: list[str]) -> None:
    if words:
        time.perf_counter = time.process_time  # the library's seconds are of CPU time then
        import torch

        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        part = {"learnt": learnt, "heads": heads, "one": one}[words[0]]
        print(json.dumps(part(Path(words[1]))))
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("learnt", "heads", "one"):
            done = subprocess.run([sys.executable, __file__, name, folder], check=True, capture_output=True, text=True)
            found[name] = json.loads(done.stdout.splitlines()[-1])
            print(name, found[name], flush=True)
    import torch

    import nounroll

    found |= {
        "command": "python benchmarks/heads.py",
        "commit": commit(Path(nounroll.__file__).parent),
        "date": str(date.today()),
        "machine": f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
    }
    write(found, OUT / "heads.json")
    (OUT / "heads.md").write_text(page(found))


if __name__ == "__main__":
    main(sys.argv[1:])
