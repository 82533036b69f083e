"""Spaces of several kinds beside plain PyTorch, at equal seconds of CPU time; one answer is one JSON file.

    python benchmarks/spaces.py chorales-bits ours 0 docs/spaces/chorales-bits-ours-seed0.json
    python benchmarks/spaces.py --page

Tasks (``spaces_tasks.py``) are chorales by Bach in quarter-note frames, as bits and as four voices, and a marked point
process. The contender ours is ``nounroll.fit`` with nothing set; lstm is ``nn.LSTM`` (128) with a head for each part of
an element: logits of bits or classes, a log-normal gap, a Gaussian value. It is trained by Adam, 3e-3 falling by a
cosine, gradients clipped at 1, batches of 32, and the weights that were best on the validation part are kept.
``--page`` writes the table of docs/spaces.md.
"""

import argparse
import copy
import json
import math
import os
import platform
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from spaces_tasks import TASKS, Drawn, Sequences
from suite_run import commit
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
_PAGE, _ANSWERS = ROOT / "docs/spaces.md", ROOT / "docs/spaces"
_RATE, _WIDTH, _ROWS, _LOOKS = 3e-3, 128, 32, 20


class Heads(nn.Module):
    """An LSTM and one linear map, whose numbers are cut into the parameters of each part."""

    def __init__(self, task: Sequences) -> None:
        super().__init__()
        self.task = task
        self.lstm = nn.LSTM(task.plain_inputs, _WIDTH, batch_first=True)
        self.out = nn.Linear(_WIDTH, task.plain_outputs)

    def losses(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Nats of each element."""
        return self.task.plain_nll(self.out(self.lstm(self.task.plain(inputs))[0]), targets)


def lstm(task: Sequences, seed: int, seconds: float) -> tuple[float, dict[str, Any]]:
    """Train the rival; its mean nats on the test part."""
    torch.manual_seed(seed)
    model, draws = Heads(task), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), _RATE)
    validation, start, steps, due = task.validation().whole(), time.process_time(), 0, 0.0
    best = (math.inf, copy.deepcopy(model.state_dict()))
    while (spent := (time.process_time() - start) / seconds) < 1:
        if spent >= due:
            best = min(best, (_mean(model, validation), copy.deepcopy(model.state_dict())), key=lambda one: one[0])
            due = spent + 1 / _LOOKS
        for group in optimiser.param_groups:
            group["lr"] = _RATE * 0.5 * (1 + math.cos(math.pi * spent))
        batch = task.sample(_ROWS, task.length, draws)
        loss = model.losses(batch.inputs, batch.targets)[batch.mask].mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        steps += 1
    best = min(best, (_mean(model, validation), copy.deepcopy(model.state_dict())), key=lambda one: one[0])
    model.load_state_dict(best[1])
    return _mean(model, task.test().whole()), {"steps": steps, "validation": best[0]}


@torch.no_grad()
def _mean(model: Heads, batch: Any) -> float:
    return float(model.losses(batch.inputs, batch.targets)[batch.mask].double().mean())


def ours(task: Sequences, seed: int, seconds: float) -> tuple[float, dict[str, Any]]:
    """``nounroll.fit``; its mean nats on the test part, and the rates of what it writes where the task is drawn."""
    import nounroll

    run = nounroll.fit(task, length=task.length, seconds=seconds, seed=seed, settings=task.settings)
    batch, student = task.test().whole(), run.student
    with torch.no_grad():
        outputs, _ = student(batch.inputs)
        nats = float(-student.targets.log_prob(outputs, batch.targets)[batch.mask].double().mean())
    told: dict[str, Any] = {"steps": run.metrics["steps"], "method": run.recipe.method, "cell": run.recipe.cell.kind}
    told["parts"] = {name: value for name, value in run.metrics.items() if name.endswith(".loss")}
    if isinstance(task, Drawn):
        told |= task.rates(student, seed)
    return nats, told


def measured(name: str, contender: str, seed: int) -> dict[str, Any]:
    """One answer."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    task = TASKS[name]()
    start = time.process_time()
    nats, told = {"ours": ours, "lstm": lstm}[contender](task, seed, task.seconds)
    return {
        "task": name,
        "title": task.title,
        "contender": contender,
        "seed": seed,
        "seconds": task.seconds,
        "nats": nats,
        "floor": task.floor(),
        **told,
        "cpu_seconds": round(time.process_time() - start, 1),
        "commit": commit(ROOT),
        "date": str(date.today()),
        "machine": f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
    }


def table(answers: list[dict[str, Any]]) -> list[str]:
    """Rows of a Markdown table, by task and contender: the median over seeds, and each seed's figure."""
    rows = [
        "| task | budget | contender | nats an element, seeds 0, 1, ... | chosen | rates |",
        "|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for answer in sorted(answers, key=lambda one: (one["task"], one["contender"], one["seed"])):
        groups.setdefault((answer["title"], answer["contender"]), []).append(answer)
    for (title, contender), found in groups.items():
        figures = ", ".join(f"{one['nats']:.2f}" for one in found)
        chosen = ", ".join(dict.fromkeys(f"{one['method']} {one['cell']}" for one in found if "cell" in one)) or "-"
        rates = ", ".join(f"{one['worst_rate']:.3f}" for one in found if "worst_rate" in one) or "-"
        floor = "" if found[0]["floor"] is None else f" (the process itself: {found[0]['floor']:.2f})"
        rows.append(f"| {title} | {found[0]['seconds']:g} s | {contender} | {figures}{floor} | {chosen} | {rates} |")
    return rows


def page() -> None:
    """Write the table between the marks of docs/spaces.md."""
    answers = [json.loads(path.read_text()) for path in sorted(_ANSWERS.glob("*.json"))]
    text, marks = _PAGE.read_text(), ("<!-- spaces -->\n", "<!-- end of spaces -->")
    before, _, rest = text.partition(marks[0])
    _PAGE.write_text(before + marks[0] + "\n".join(table(answers)) + "\n" + marks[1] + rest.partition(marks[1])[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="task, contender, seed, file")
    parser.add_argument("--page", action="store_true", help="write the table of docs/spaces.md")
    given = parser.parse_args()
    if given.page:
        page()
        return
    if len(given.what) != 4 or given.what[0] not in TASKS or given.what[1] not in ("ours", "lstm"):
        sys.exit(f"give a task of {', '.join(TASKS)}, a contender (ours or lstm), a seed and a file")
    name, contender, seed, path = given.what
    if contender == "ours":
        time.perf_counter = time.process_time  # the library's seconds are of CPU time then, as the rival's are
    answer = measured(name, contender, int(seed))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(answer, indent=1) + "\n")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
