"""Run lm_eval against a folder, where lm_eval is installed: a choice, a text that is written on, and bits per byte."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from helpers import make_student
from nounroll.core.batch import Categorical
from nounroll.data.text import Text
from nounroll.hub import save_pretrained

BYTES = Categorical(256)
TASKS: dict[str, dict[str, Any]] = {
    "choice": {
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "label",
        "metric_list": [{"metric": "acc"}],
    },
    "write": {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{question}}",
        "generation_kwargs": {"until": ["."], "max_gen_toks": 8, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    },
    "bits": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{question}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("harness")
    (path / "book.txt").write_text("hello again. " * 100)
    torch.manual_seed(0)
    student = make_student("gru", BYTES, BYTES, dtype=torch.float32).eval()
    save_pretrained(student, path / "model", Text(path=path / "book.txt"))
    return path


def test_byte_tokenizer_names_an_end_that_is_written_by_no_network(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == 256
    assert tokenizer.decode(tokenizer.eos_token_id, skip_special_tokens=False) == "<pad>"
    assert tokenizer("<pad>").input_ids == list(b"<pad>")


def test_lm_eval_reads_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm_eval = pytest.importorskip("lm_eval")
    pytest.importorskip("accelerate")
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    row = {"question": "hello again. hel", "choices": ["lo again", "zzzz"], "label": 0}
    (folder / "data.jsonl").write_text("\n".join([json.dumps(row)] * 4))
    for name, task in TASKS.items():
        data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(folder / "data.jsonl")}}}
        (folder / f"{name}.yaml").write_text(json.dumps({"task": name, "test_split": "test", **data, **task}))
    answer = lm_eval.simple_evaluate(
        model="hf",
        model_args=f"pretrained={folder / 'model'},prefix_token_id=10,device=cpu",
        tasks=list(TASKS),
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        batch_size=2,
        bootstrap_iters=0,
    )["results"]
    assert answer["choice"]["acc,none"] in (0.0, 1.0)  # four equal rows
    assert answer["write"]["exact_match,none"] == 0.0
    assert answer["bits"]["bits_per_byte,none"] == pytest.approx(8.0, abs=0.5)  # untrained: a byte tells 8 bits
