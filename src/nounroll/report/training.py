"""Pictures of training, from the records of metrics.jsonl."""

from itertools import pairwise
from typing import Any

from nounroll.report.numbers import measure
from nounroll.report.style import BPTT, GUESS, STUDENT, TBPTT, TEACHER, Picture, panels, styled

_COLOURS = {"smt": TEACHER, "dmt": STUDENT, "tbptt": TBPTT, "bptt": BPTT, "adapt": BPTT}


def training_picture(history: list[dict[str, Any]]) -> Picture | None:
    """Draw the loss of every method and the student's held-out figures; None without records."""
    from matplotlib.ticker import LogFormatter

    steps = [record for record in history if record["event"] == "train"]
    looks = [record for record in history if record["event"] == "evaluation"]
    looks = [record for record in looks if measure(record) in record]  # the other records have no measurement
    if not steps or not looks:
        return None
    name = measure(looks[0])
    with styled():
        figure, (left, right) = panels(2)
        for method in dict.fromkeys(record["method"] for record in steps):
            own = [record for record in steps if record["method"] == method]
            times, losses = [r["seconds"] for r in own], [r["loss"] for r in own]
            left.plot(times, losses, color=_COLOURS.get(method, BPTT), lw=1, label=method)
        left.set(title="training loss", xlabel="seconds")
        if all(record["loss"] > 0 for record in steps):
            left.set_yscale("log")
            left.yaxis.set_major_formatter(LogFormatter())
            left.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))
        left.legend()
        right.plot([r["seconds"] for r in looks], [r[name] for r in looks], "o-", ms=3, color=STUDENT)
        for one, other in pairwise(looks):
            if one["method"] != other["method"]:
                right.axvline(one["seconds"], color=GUESS, ls=":", lw=1)
        right.set(title=f"{name} of the network alone", xlabel="seconds")
    caption = (
        "Left, the loss of each method; losses of different methods are not comparable."
        " Right, the network's figures on held-out sequences, from its empty memory. A dotted line marks where one"
        " method ends and the next begins."
    )
    return Picture("training", "Training", caption, figure)
