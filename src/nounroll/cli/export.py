"""``nounroll export``"""

from pathlib import Path
from typing import Any

from rich.console import Console


def export(run: Path, *, to: str = "onnx", out: Path | None = None) -> dict[str, Any]:
    """Write one step of a trained network for other programs: (inputs, memory) -> (memory, logits).

    What was written is checked against the network over 500 steps. step.json beside it has the initial memory.

    Args:
        run: the run's folder.
        to: onnx, torch (a torch.export program) or safetensors; onnx when left out.
        out: folder for the files; RUN/export when left out.
    """
    from nounroll.export import export as write
    from nounroll.run import open_student

    *_, student = open_student(run)
    return {"run": str(run), **write(student, to, out or run / "export")}


def show(result: dict[str, Any], console: Console) -> None:
    for path in result["files"]:
        console.print(f"wrote {path}", soft_wrap=True)
    console.print(f"largest difference from the network in 500 steps: {result['difference']:.2g}")
