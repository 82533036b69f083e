"""Command ``nounroll export``"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from nounroll.storage.files import read_bytes


def export(run: Path, *, to: str = "onnx", out: Path | None = None, push: str | None = None) -> dict[str, Any]:
    """Write a trained network for other programs: one step, (inputs, memory) -> (memory, logits).

    The command checks the file against the network over 500 steps, and writes step.json with the initial memory.

    Args:
        run: the run's folder.
        to: onnx, torch (a torch.export program), safetensors or transformers; onnx by default.
        out: folder for the files; RUN/export by default.
        push: repository OWNER/NAME on the Hugging Face Hub to upload to, with --to transformers.
    """
    from nounroll.experiments.run_folder import open_student
    from nounroll.export import FORMATS
    from nounroll.export import export as write

    kinds = (*FORMATS, "transformers")
    if to not in kinds:
        raise ValueError(f"--to is {to!r}; it must be one of {', '.join(kinds)}")
    if push is not None and to != "transformers":
        raise ValueError(f"--push is {push!r}; it goes with --to transformers")
    recipe, task, student = open_student(run, with_data=False)
    folder = out or run / "export"
    if (folder / "recipe.yaml").exists():
        raise ValueError(f"--out is '{folder}', which holds a run and its own student; give another folder")
    if to != "transformers":
        return {"run": str(run), **write(student, to, folder), "address": None}
    if find_spec("transformers") is None:
        raise ValueError("--to is 'transformers', which needs the package transformers; pip install 'nounroll[hf]'")
    from nounroll import hub
    from nounroll.export import export_checked

    def written(student: Any, folder: Path) -> Any:
        files = hub.save_pretrained(student, folder / to, task, recipe=recipe.to_dict(), metrics=_metrics(run))
        return files, hub.step_of(folder / to)

    files, difference = export_checked(student, written, folder)
    address = None if push is None else hub.push_to_hub(folder / to, push)
    return {
        "run": str(run),
        "to": to,
        "files": [str(file) for file in files],
        "difference": difference,
        "address": address,
    }


def show(result: dict[str, Any], console: Console) -> None:
    for path in result["files"]:
        console.print(f"wrote {path}", soft_wrap=True)
    console.print(f"largest difference from the network in 500 steps: {result['difference']:.2g}")
    if result["address"]:
        console.print(f"it is at {result['address']}", soft_wrap=True)


def _metrics(run: Path) -> dict[str, float]:
    path = run / "metrics.json"
    return json.loads(read_bytes(path)) if path.is_file() else {}
