"""Pictures of an analysis, from the plain values of ``Analysis.to_dict``."""

import math
from typing import Any

from nounroll.report.geometry import geometry
from nounroll.report.heatmap import heatmap
from nounroll.report.numbers import figure as text
from nounroll.report.numbers import is_past, measure
from nounroll.report.style import BPTT, GUESS, LINES, STUDENT, TEACHER, Picture, panels, styled

_NAT = 1 / math.log(2)  # bits


def pictures(analysis: dict[str, Any]) -> list[Picture]:
    """Draw all pictures for which the analysis has data."""
    with styled():
        drawn = (_lengths, _positions, _drift, heatmap, geometry, _spectrum, _gradients, _ahead, _packing)
        made = [draw(analysis) for draw in drawn]
    return [one for one in made if one is not None]


def _lengths(a: dict[str, Any]) -> Picture | None:
    found = a["lengths"]
    if len(found) < 2:
        return None
    names = list(dict.fromkeys(["bits", measure(a["student"]["metrics"])]))
    figure, grid = panels(len(names), squeeze=False)
    axes, spans = grid[0], [one["length"] for one in found]
    for ax, name in zip(axes, names, strict=True):
        for kind in (kind for kind in LINES if found[0][kind] is not None):
            measured = [(one["length"], one[kind][name]) for one in found if one[kind] is not None]
            ax.plot(*zip(*measured, strict=True), marker="o", label=kind, **LINES[kind])
        _guess(ax, a, name)
        ax.set(xscale="log", xlabel="length T, time steps", title=_title(name))
        ax.set_xticks(spans, [f"{span:,}" for span in spans])
        ax.minorticks_off()
        _from_zero(ax, name)
    axes[0].legend()
    beside = "" if found[0]["teacher"] is None else ", and its teacher's memories read by the same readout"
    caption = (
        f"The network alone{beside}, on held-out sequences of {spans[0]:,} steps and longer."
        " The first length is the length of the analysis."
    )
    return Picture("lengths", "Longer sequences", caption, figure)


def _positions(a: dict[str, Any]) -> Picture | None:
    scored = [t for t, value in enumerate(a["student"]["positions"]["loss"]) if value is not None]
    if len(scored) < 3:
        return None
    shown = [("bits", "loss", _NAT)]
    if "accuracy" in a["student"]["metrics"]:
        shown.append(("accuracy", "hits", 1.0))
    figure, axes = panels(len(shown), squeeze=False)
    for ax, (name, key, unit) in zip(axes[0], shown, strict=True):
        for kind in (kind for kind in LINES if a[kind] is not None):
            values = a[kind]["positions"][key]
            ax.plot(scored, [values[t] * unit for t in scored], label=kind, **LINES[kind])
        _guess(ax, a, name)
        ax.set(xlabel="time step t", title=_title(name))
        _from_zero(ax, name)
    axes[0][0].legend()
    caption = "The prediction at each time step, read from the memory after it: does it improve with more inputs?"
    return Picture("positions", "Along the sequence", caption, figure)


def _drift(a: dict[str, Any]) -> Picture | None:
    d = a["drift"]
    if d is None:
        return None
    figure, ax = panels()
    ax.plot(range(len(d["curve"])), d["curve"], color=STUDENT)
    ax.axhline(d["level"], color=GUESS, ls="--", lw=1)
    ax.set(xlabel="time step t", ylim=(0, None), title="distance to the teacher's memory / variance of memories")
    level = text("drift", d["level"])
    if d["levels_off"]:
        said = f"Drift levels off at {level}, and is first within 10 % of this level at step {d['reached']}."
        ax.plot(d["reached"], d["curve"][d["reached"]], "o", color=STUDENT)
    else:
        said = f"Drift still changes at the end; its mean over the last quarter is {level}."
    if is_past(a):
        said += " This network is better than its teacher, so it need not be near."
    caption = (
        "Mean square distance of the network's memories from its teacher's. 0 is the same memory, 1 is the"
        f" distance of the mean memory, 2 the distance of another sequence's memory. {said}"
    )
    return Picture("drift", "Drift from the teacher", caption, figure)


def _spectrum(a: dict[str, Any]) -> Picture:
    figure, ax = panels()
    for kind in (kind for kind in LINES if a[kind] is not None):
        shares = [share for share in a[kind]["spectrum"] if share > 1e-6]
        label = f"{kind}, effective rank {a[kind]['rank']:.1f}"
        ax.plot(range(1, len(shares) + 1), shares, label=label, **LINES[kind])
    ax.set(yscale="log", xlabel="direction", title="share of the variance of memories")
    ax.legend()
    caption = (
        "Number of directions in which memories differ. A steep line shows a memory that uses few of its numbers."
        " The memory has collapsed if hardly any variance is left."
    )
    return Picture("spectrum", "How much of the memory is used", caption, figure)


def _gradients(a: dict[str, Any]) -> Picture:
    figure, ax = panels()
    kinds = [("BPTT", a["student"], BPTT)] + ([("SMT", a["teacher"], TEACHER)] if a["teacher"] is not None else [])
    for name, found, colour in kinds:
        norms = found["gradients"]["norms"]
        shown = [(t - 1, norm) for t, norm in enumerate(norms) if norm > 0]
        ratio = found["gradients"]["ratio"]
        label = f"{name}, largest / smallest " + ("beyond float32" if ratio is None else f"{ratio:.2g}")
        ax.plot([t for t, _ in shown], [norm for _, norm in shown], color=colour, label=label)
    ax.set(yscale="log", xlabel="time step t", title="|dL/dm_t|")
    ax.legend()
    caption = (
        "Gradient at the memory of step t, from the loss that corrects this memory. With BPTT it comes from the"
        " last scored step, through all steps in between. With SMT it comes from one step ahead. Compare the shapes;"
        " the heights have different units."
    )
    return Picture("gradients", "How far a gradient reaches", caption, figure)


def _ahead(a: dict[str, Any]) -> Picture | None:
    if a["teacher"] is None or a["teacher"]["ahead"] is None:
        return None
    figure, ax = panels()
    for kind in LINES:
        points = [(i, loss * _NAT) for i, loss in enumerate(a[kind]["ahead"]) if loss is not None]
        if len(points) < 2:
            return None
        ax.plot(*zip(*points, strict=True), label=f"from the {kind}'s memory", **LINES[kind])
    _guess(ax, a, "bits")
    ax.set(xlabel="steps ahead", title="bits of the teacher's decoder")
    _from_zero(ax, "bits")
    ax.legend()
    caption = (
        "How well a memory predicts the future: the teacher's decoder sees only the memory and the inputs after it."
    )
    return Picture("ahead", "Looking ahead from a memory", caption, figure)


def _packing(a: dict[str, Any]) -> Picture | None:
    found = a.get("packing") or []
    if len(found) < 2:
        return None
    figure, ax = panels()
    cuts = [one["cut"] for one in found]
    lines = (
        ("teacher", "the teacher, which looks back", {**LINES["teacher"], "ls": ":"}),
        ("packed", "from the teacher's memory alone", LINES["teacher"]),
        ("student_packed", "from the student's memory alone", LINES["student"]),
    )
    for name, label, style in lines:
        ax.plot(cuts, [one[name] * _NAT for one in found], marker="o", label=label, **style)
    _guess(ax, a, "bits")
    ax.set(xlabel="time step of the cut", title="bits per scored element after the cut")
    _from_zero(ax, "bits")
    ax.legend()
    caption = (
        "How well the memory at a cut predicts all later targets: the teacher's decoder sees the memory and the inputs"
        " after the cut. If the teacher itself is better, it looks back at inputs that its memory has lost."
    )
    return Picture("packing", "What a memory holds", caption, figure)


def _guess(ax: Any, a: dict[str, Any], name: str) -> None:
    if name in a["guess"]:
        ax.axhline(a["guess"][name], color=GUESS, ls=":", lw=1, label="a constant guess")


def _title(name: str) -> str:
    return {"bits": "bits per scored element"}.get(name, name)


def _from_zero(ax: Any, name: str) -> None:
    ax.set_ylim(*((-0.02, 1.02) if name == "accuracy" else (min(0.0, ax.get_ylim()[0]), None)))
