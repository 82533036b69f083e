"""What generate takes for GPT-2 it takes for a student; and log-likelihoods as evaluation harnesses ask for them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    MaxLengthCriteria,
    StoppingCriteriaList,
    TextIteratorStreamer,
)

from helpers import make_student
from nounroll.core.batch import Categorical
from nounroll.data.text import Text
from nounroll.hub import save_pretrained

BYTES = Categorical(256)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hub")
    (path / "book.txt").write_text("hello again. " * 100)
    torch.manual_seed(0)
    one = make_student("gru", BYTES, BYTES, dtype=torch.float32).eval()
    save_pretrained(one, path / "model", Text(path=path / "book.txt"))
    return path / "model"


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, Any]:
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=300, n_layer=1, n_head=2, n_embd=16)).eval()
    return {"ours": AutoModelForCausalLM.from_pretrained(folder), "gpt2": gpt2}


KEYWORDS: dict[str, dict[str, Any]] = {
    "stop_strings": {"stop_strings": ["again"], "tokenizer": "tokenizer"},
    "streamer": {"streamer": "streamer"},
    "penalties": {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "encoder_repetition_penalty": 1.1},
    "beams": {"num_beams": 4, "num_return_sequences": 2, "early_stopping": True, "length_penalty": 0.5},
    "sampling": {"do_sample": True, "top_k": 5, "top_p": 0.9, "temperature": 0.7, "min_p": 0.01, "typical_p": 0.9},
    "outputs": {"return_dict_in_generate": True, "output_scores": True, "output_logits": True},
    "hidden states": {"return_dict_in_generate": True, "output_hidden_states": True},
    "attentions": {"return_dict_in_generate": True, "output_attentions": True},
    "no cache": {"use_cache": False},
    "tokens": {"bad_words_ids": [[5]], "suppress_tokens": [1, 2], "begin_suppress_tokens": [3]},
    "ends": {"eos_token_id": [3, 4], "min_new_tokens": 3, "forced_eos_token_id": 3},
    "criteria": {"stopping_criteria": StoppingCriteriaList([MaxLengthCriteria(8)]), "max_time": 30.0},
    "guidance": {"guidance_scale": 1.5},
    "prefix": {"prefix_allowed_tokens_fn": lambda row, tokens: [1, 2, 3]},
    "positions": {"position_ids": torch.arange(5)[None]},
    "token types": {"token_type_ids": torch.zeros(1, 5, dtype=torch.int64)},
    "kept logits": {"logits_to_keep": 1},
}


@pytest.mark.parametrize("name", KEYWORDS)
@pytest.mark.parametrize("kind", ["ours", "gpt2"])
def test_keywords_of_generate_are_taken(kind: str, name: str, models: dict[str, Any], folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    stand_ins = {"tokenizer": tokenizer, "streamer": TextIteratorStreamer(tokenizer)}
    given = {
        key: stand_ins.get(value, value) if isinstance(value, str) else value for key, value in KEYWORDS[name].items()
    }
    asked = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, **given}
    assert models[kind].generate(**tokenizer("hello", return_tensors="pt"), **asked) is not None


def test_a_text_ends_with_its_stop_string(models: dict[str, Any], folder: Path) -> None:
    tokenizer, model = AutoTokenizer.from_pretrained(folder), models["ours"]
    asked: dict[str, Any] = {**tokenizer("hello", return_tensors="pt"), "max_new_tokens": 40, "do_sample": True}
    torch.manual_seed(1)
    whole = model.generate(**asked)[0].tolist()
    place = next(i for i in range(8, len(whole)) if 32 <= whole[i] < 127 and whole[i] not in whole[5:i])
    torch.manual_seed(1)
    ended = model.generate(**asked, stop_strings=chr(whole[place]), tokenizer=tokenizer)[0].tolist()
    assert ended == whole[: place + 1]


@pytest.mark.parametrize("keyword", [{"prompt_lookup_num_tokens": 2}, {"assistant_early_exit": 1}])
def test_what_rolls_a_memory_back_is_refused_clearly(keyword: dict[str, Any], models: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="assisted generation is not supported with stateful models"):
        models["ours"].generate(torch.tensor([[1, 2, 1, 2]]), max_new_tokens=4, **keyword)


def test_a_slip_in_a_keyword_is_refused(models: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="stop_string"):
        models["ours"].generate(torch.tensor([[1, 2]]), max_new_tokens=2, stop_string="a")


def test_forward_knows_the_fields_names(models: dict[str, Any]) -> None:
    model, x = models["ours"], torch.randint(256, (2, 6))
    with torch.no_grad():
        whole = model(x, output_hidden_states=True)
        first = model(x[:, :4], use_cache=True)
        rest = model(x[:, 4:], past_key_values=first.cache, position_ids=torch.arange(4, 6)[None])
        torch.testing.assert_close(rest.logits, whole.logits[:, 4:])
        torch.testing.assert_close(model.get_output_embeddings()(torch.nn.functional.gelu(
            model.student.head.hidden(whole.hidden_states[-1]))), whole.logits)  # fmt: skip
        torch.testing.assert_close(model(x, logits_to_keep=torch.tensor([0, 2])).logits, whole.logits[:, [0, 2]])
        torch.testing.assert_close(model(x, logits_to_keep=2).logits, whole.logits[:, -2:])
    assert model.get_input_embeddings().weight.shape[0] == 256
    with pytest.raises(ValueError, match="vocab_size is 256; a trained network's symbols stay as they are"):
        model.resize_token_embeddings(300)


def harness_loglikelihoods(model: Any, tokenizer: Any, pairs: list[tuple[str, str]]) -> list[tuple[float, bool]]:
    """Log-likelihoods of continuations as lm_eval's HFLM computes them: right-padded with zeros, without a mask."""
    encoded = [(tokenizer.encode(a, add_special_tokens=False), tokenizer.encode(a + b)) for a, b in pairs]
    longest = max(len(whole) - 1 for _, whole in encoded)
    rows = [torch.nn.functional.pad(torch.tensor(whole[:-1]), (0, longest - len(whole) + 1)) for _, whole in encoded]
    with torch.no_grad():
        logits: Tensor = torch.log_softmax(model(torch.stack(rows)).logits, dim=-1)
    found = []
    for (context, whole), row in zip(encoded, logits, strict=True):
        wanted = torch.tensor(whole[len(context) :])
        seen = row[len(context) - 1 : len(whole) - 1]
        found.append((float(seen.gather(1, wanted[:, None]).sum()), bool((seen.argmax(-1) == wanted).all())))
    return found


def test_a_harness_gets_the_log_likelihoods_of_the_student(models: dict[str, Any], folder: Path) -> None:
    model, tokenizer = models["ours"], AutoTokenizer.from_pretrained(folder)
    pairs = [("hello", " again. hello again."), ("h", "e"), ("again. ", "né")]
    one, figures = model.student, harness_loglikelihoods(model, tokenizer, pairs)
    for (context, rest), (found, _) in zip(pairs, figures, strict=True):
        symbols = list((context + rest).encode())
        with torch.no_grad():
            logits = one(torch.tensor([symbols[:-1]]))[0][0].log_softmax(-1)
        start = len(context.encode())
        wanted = sum(float(logits[i - 1, symbols[i]]) for i in range(start, len(symbols)))
        assert found == pytest.approx(wanted, rel=1e-5)
    assert tokenizer.pad_token_id == 256  # a harness asks for it
    assert model.device == torch.device("cpu")
