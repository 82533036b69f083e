"""Writes the table of docs/scaling.md: what runs up to a billion parameters would take. None of that size is built.

python benchmarks/scaling_plan.py
"""

from pathlib import Path

from nounroll.data.text import Text
from nounroll.experiments.recipe import parse
from nounroll.experiments.sizing import size

LENGTH = 1024  # T
TOKENS_PER_PARAMETER = 20  # Hoffmann et al. 2022, arXiv 2203.15556, found it best for Transformers
FLOPS_PER_SECOND = 4e14  # assumed of one GPU: 40 % of an H100's 9.9e14 in bf16
# name: memory tokens, memory width, hidden layers of the MLP cell; width and layers of the teacher
FAMILY = {
    "small": (4, 64, 1, 256, 4),
    "base": (8, 128, 2, 512, 8),
    "large": (16, 256, 3, 1024, 12),
    "billion": (32, 256, 3, 2048, 16),
}


PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"


def main() -> None:
    page = PAGE.read_text()
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(before + BEGIN + "".join(f"{line}\n" for line in table()) + END + after)


def table() -> list[str]:
    """Lines of Markdown, one for each size and two for the head."""
    lines = [
        "| | student | teacher | FLOPs a token, SMT | DMT | training state | student alone | one memory"
        " | labels of a sequence | tokens | FLOPs | GPU days |",
        f"|{'---|' * 12}",
    ]
    for name, (tokens, memory_width, layers, width, teacher_layers) in FAMILY.items():
        recipe = parse(
            {
                "task": {"kind": "text"},
                "length": LENGTH,
                "cell": {
                    "kind": "mlp",
                    "tokens": tokens,
                    "memory_width": memory_width,
                    "layers": layers,
                    "width": 2 * tokens * memory_width,
                },
                "teacher": {"width": width, "layers": teacher_layers, "decoder_layers": 0},
                "readout_width": width,
            }
        )
        found = size(recipe, Text())
        run = found.plan(TOKENS_PER_PARAMETER, FLOPS_PER_SECOND)
        figures = [
            *(f"{n / 1e6:,.0f} M" for n in (found.student, found.teacher)),
            *(f"{n:.1e}" for n in (found.smt, found.dmt)),
            *(f"{n / 2**30:.2g} GiB" for n in (found.training_bytes, found.student_bytes)),
            *(f"{n / 2**10:,.0f} KiB" for n in (found.memory_bytes, found.label_bytes)),
            *(f"{run[n]:.1e}" for n in ("tokens", "flops")),
            f"{run['seconds'] / 86400:.1g}",
        ]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return lines


if __name__ == "__main__":
    main()
