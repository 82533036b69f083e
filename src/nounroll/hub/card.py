"""Model card of a student, with the metrics of its run."""

from collections.abc import Mapping
from importlib import metadata, resources
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from nounroll.models.student import Student
from nounroll.report.numbers import figure

_MEASURED = {
    "bits": "bits per element",
    "loss": "nats per element",
    "accuracy": "most likely element is right",
    "drift": "mean square distance of its memories to its teacher's",
}
_SPENT = {"seconds": "seconds", "steps": "steps", "tokens": "tokens", "flops": "FLOPs"}


def card(student: Student, recipe: Mapping[str, Any], metrics: Mapping[str, float], *, text: bool, first: int) -> str:
    """Write README.md: the model, its metrics, its training, and how to load it.

    Args:
        student: the network.
        recipe: all settings of its run; missing settings are not mentioned.
        metrics: final metrics of its run; missing metrics are not mentioned.
        text: whether the student reads and writes text.
        first: the symbol that an example starts from.
    """
    task = recipe.get("task", {}).get("kind", "a task of the user's own")
    name = recipe.get("name", "student")
    measured = {_MEASURED[key]: figure(key, metrics[key]) for key in _MEASURED if key in metrics}
    template = resources.files("nounroll.hub").joinpath("card.md").read_text(encoding="utf-8")
    tokens, width = student.memory_shape
    made = ModelCard.from_template(
        _header(name, task, metrics),
        template_str=template,
        name=name,
        task=task,
        text=text,
        first=first,
        memory=f"{tokens * width:,}",
        shape=f"{tokens} tokens of width {width}",
        parameters=f"{sum(one.numel() for one in student.parameters()):,}",
        measured=measured,
        recipe=recipe,
        settings=yaml.safe_dump(dict(recipe), sort_keys=False),
        budget=_budget(recipe.get("training", {})),
        spent=", ".join(f"{figure(key, metrics[key])} {what}" for key, what in _SPENT.items() if key in metrics),
        version=metadata.version("nounroll"),
    )
    return str(made) + "\n"


def _header(name: str, task: str, metrics: Mapping[str, float]) -> ModelCardData:
    """Write the machine-readable header of a card for the Hub."""
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=task,
            dataset_name=f"{task}, held out",
            metric_type=key,
            metric_name=_MEASURED[key],
            metric_value=metrics[key],
        )
        for key in ("bits", "accuracy")
        if key in metrics
    ]
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["nounroll", "rnn", "recurrent"],
        model_name=name if results else None,
        eval_results=results or None,
    )


def _budget(training: Mapping[str, Any]) -> str:
    kinds = {"seconds": "seconds", "steps": "steps", "tokens": "tokens", "flops": "FLOPs"}
    kinds["sequential_flops"] = "sequential FLOPs"
    return ", ".join(f"{training[key]:,g} {what}" for key, what in kinds.items() if training.get(key) is not None)
