"""Texts of a tokenizer whose words carry the space before them, as Llama's do: its decoder drops the first one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("fastapi")
pytest.importorskip("transformers")

from fastapi.testclient import TestClient
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from helpers import make_student
from nounroll.data.corpus import TextCorpus
from nounroll.data.tokenizer import Tokenizer
from nounroll.serve.app import create_app

TEXT = "the cat sat on the mat and the dog sat on the cat "


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TextCorpus:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    backend = Backend(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()  # type: ignore[assignment]
    backend.train_from_iterator([TEXT] * 3, trainers.BpeTrainer(vocab_size=60, show_progress=False))
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(folder)
    tokenizer = Tokenizer("text.tokenizer", folder)
    tokens = np.tile(tokenizer.encode(TEXT), 20)
    return TextCorpus(tokens=tokens, name="x", first=b"the", tokenizer=tokenizer)


@pytest.fixture(scope="module")
def client(task: TextCorpus) -> Iterator[TestClient]:
    student = make_student("gru", task.inputs, task.targets, dtype=torch.float32).eval()
    with TestClient(create_app(student, task, "words"), raise_server_exceptions=False) as one:
        yield one


def test_a_completion_begins_with_the_space_of_its_first_word(client: TestClient) -> None:
    def written(seed: int, **more: object) -> str:
        sent = {"model": "words", "prompt": "the cat", "max_tokens": 5, "seed": seed, **more}
        return client.post("/v1/completions", json=sent).json()["choices"][0]["text"]

    texts = [written(seed) for seed in range(10)]
    assert any(text.startswith(" ") for text in texts)
    assert [written(seed, echo=True) for seed in range(10)] == [f"the cat{text}" for text in texts]
    assert [written(seed, stop=["nowhere"]) for seed in range(10)] == texts


def test_samples_of_a_session_join_to_its_text(client: TestClient, task: TextCorpus) -> None:
    session = f"/v1/sessions/{client.post('/v1/sessions').json()['id']}"
    client.post(f"{session}/feed", json={"text": "the cat"})
    answers = [client.post(f"{session}/sample", json={"max_tokens": 3, "seed": i}).json() for i in range(10)]
    fork = f"/v1/sessions/{client.post(f'{session}/fork').json()['id']}"
    answers.append(client.post(f"{fork}/sample", json={"max_tokens": 9}).json())
    elements = [element for answer in answers for element in answer["elements"]]
    whole = task.decode(torch.tensor([*task.encode("the cat").tolist(), *elements]))
    assert "the cat" + "".join(answer["text"] for answer in answers) == whole


def test_so_do_those_of_a_session_that_was_restored(client: TestClient) -> None:
    session = f"/v1/sessions/{client.post('/v1/sessions').json()['id']}"
    client.post(f"{session}/feed", json={"text": "the cat"})
    kept = client.get(f"{session}/snapshot").content

    def written(opened: Any, seed: int) -> str:
        one = f"/v1/sessions/{opened.json()['id']}"
        text = client.post(f"{one}/sample", json={"max_tokens": 3, "seed": seed}).json()["text"]
        client.delete(one)
        return text

    texts = [written(client.post(f"{session}/fork"), seed) for seed in range(10)]
    assert any(text.startswith(" ") for text in texts)
    assert [written(client.post("/v1/sessions/restore", content=kept), seed) for seed in range(10)] == texts
