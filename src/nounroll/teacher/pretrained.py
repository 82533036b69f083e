"""Encoder from a pretrained causal language model, in place of the project's own causal trunk.

Any model works that ``transformers.AutoModelForCausalLM`` can load from a local folder, without code from that folder
and only from safetensors. Its states over [BOS, x_0 .. x_{T-1}] are mapped to memories. Its own head predicts the next
token, and the student can learn from these predictions too (``teacher.distillation``).
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from nounroll.core.batch import Space
from nounroll.data.files import existing, unreadable
from nounroll.data.sources import optional
from nounroll.data.tokenizer import Tokenizer, has_tokenizer
from nounroll.teacher.base import TeacherSettings

_PATH = "teacher.path"
_NO_HEAD = "what its model predicts is no linear map of its last states, take another"
_TRIED = 8  # tokens of a test input
_SAME = 1e-4  # tolerance for rounding, relative to the largest number


class PretrainedEncoder(nn.Module):
    """States of a pretrained causal language model: state t + 1 has seen x_0 .. x_t, state 0 only the start token.

    A frozen model is not part of this module's weights: no optimiser, checkpoint or shard contains it. Checkpoints
    store a fingerprint of its files instead, and cannot be loaded with another model. Dropout is always off, so that
    labels are a function of the inputs.

    Attributes:
        longest: number of inputs that the model can read; None if there is no limit.
    """

    all_at_once = True

    def __init__(
        self,
        settings: TeacherSettings,
        inputs: Space,
        targets: Space,
        memory_shape: tuple[int, int] | None = None,
        *,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        folder = model_folder(settings.path)
        start = check_vocabulary(folder, inputs)
        model = _model(folder)
        self.width: int = model.get_output_embeddings().weight.shape[1]
        self.symbols, self.predicts = inputs.readout_size, inputs == targets
        self.frozen, self.distils = settings.frozen, settings.distillation > 0
        limit = _limit(model)
        self.longest: int | None = None if limit is None else limit - 1
        self._start = start
        self._held: tuple[Any, ...] = (model,) if self.frozen else ()  # in a tuple: it is no part of the weights
        if self.frozen:
            model.requires_grad_(False)
            self.register_buffer("fingerprint", fingerprint(folder))
            self.register_load_state_dict_pre_hook(_check_fingerprint)
        else:
            self.trained = model
        if start is None:  # the mean of all tokens; it is learnt
            self.start = nn.Parameter(model.get_input_embeddings().weight.detach().mean(0).clone())
        self.train()

    @property
    def model(self) -> Any:
        return self._held[0] if self.frozen else self.trained

    def held(self) -> Iterator[nn.Parameter]:
        """Yield the weights that are used but not trained."""
        return iter(self.model.parameters() if self.frozen else ())

    def train(self, mode: bool = True) -> "PretrainedEncoder":
        super().train(mode)
        self.model.eval()  # without dropout
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "PretrainedEncoder":
        for model in self._held:  # moves to the device of the module
            model._apply(fn)
        return super()._apply(fn, recurse)

    def read(self, inputs: Int[Tensor, "B T"]) -> Float[Tensor, "B T1 width"]:
        """Return the states after the start token, and after each input."""
        embed = self.model.get_input_embeddings()
        if inputs.is_meta:  # shapes alone, for which transformers cannot build masks
            return embed.weight.new_empty(len(inputs), inputs.shape[1] + 1, self.width)
        start = self.start if self._start is None else embed(torch.tensor([self._start], device=inputs.device))[0]
        with torch.set_grad_enabled(torch.is_grad_enabled() and (not self.frozen or self._start is None)):
            entered = torch.cat([start.expand(len(inputs), 1, -1), embed(inputs)], dim=1)
            return _states(self.model, entered)

    def at(
        self, states: Float[Tensor, "B T1 width"], positions: Int[Tensor, "B S"] | None
    ) -> Float[Tensor, "B S width"]:
        if positions is None:
            return states
        return states.gather(1, positions[..., None].expand(-1, -1, states.shape[-1]))

    @property
    def answers(self) -> bool:
        """Return whether the model's predictions are used: they match the task's targets, and a loss uses them."""
        return self.predicts and (self.distils or not self.frozen)

    def look_back(self, states: Float[Tensor, "B T1 width"]) -> Float[Tensor, "B T V"] | None:
        """Predict y_t from x_0 .. x_t by the model itself; None if no loss uses these predictions."""
        if not self.answers:
            return None
        head = self.model.get_output_embeddings()
        return head(states[:, 1:])[..., : self.symbols]


def _check_fingerprint(module: Any, state: dict[str, Tensor], prefix: str, *given: Any) -> None:
    """Refuse weights that were trained with another frozen model."""
    kept, errors = state.get(f"{prefix}fingerprint"), given[-1]
    if kept is not None and not torch.equal(kept.cpu(), module.fingerprint.cpu()):
        errors.append(f"the model in {_PATH} is not the one that it was trained with; put that one back")


def model_folder(path: str) -> Path:
    """Return the folder of a model with safetensors weights.

    Raises:
        ValueError: the folder does not exist, or holds no such model.
    """
    folder = existing(_PATH, path)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{_PATH} is '{path}'; it holds no model of transformers, which has a config.json")
    if not list(folder.glob("*.safetensors")):
        raise ValueError(f"{_PATH} is '{path}'; its weights must be safetensors, save the model with those")
    return folder


def check_vocabulary(folder: Path, inputs: Space, tokenizer: Tokenizer | None = None) -> int | None:
    """Return the model's start token, after checking that its tokens are the inputs; None if it has none.

    Args:
        folder: folder of the model.
        inputs: input space of the task.
        tokenizer: tokenizer of the task's text, if it has one.

    Raises:
        ValueError: the inputs are other symbols.
    """
    own = Tokenizer(_PATH, folder) if has_tokenizer(folder) else None
    size = _config(folder).get_text_config().vocab_size if own is None else own.size
    if inputs.symbols != size:
        raise ValueError(
            f"{_PATH} is '{folder}'; its model reads {size:,} tokens and the task gives {inputs}: make the task with"
            " its tokenizer (text.tokenizer), or its inputs of its tokens"
        )
    if own is not None and tokenizer is not None and own.vocabulary() != tokenizer.vocabulary():
        raise ValueError(
            f"text.tokenizer is '{tokenizer.folder}'; its tokens are not those of the model in {_PATH} '{folder}',"
            " leave it out"
        )
    return None if own is None else own.start


def fingerprint(folder: Path) -> UInt8[Tensor, "32"]:
    """Hash the files that determine a model's computation."""
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors*"))]
    if has_tokenizer(folder):
        files += [path for path in (folder / "tokenizer.json", folder / "tokenizer_config.json") if path.is_file()]
    seen = hashlib.sha256()
    for path in files:
        seen.update(f"{path.name} {_hash(path, path.stat().st_mtime_ns, path.stat().st_size)}".encode())
    return torch.tensor(list(seen.digest()), dtype=torch.uint8)


@lru_cache(maxsize=64)
def _hash(path: Path, changed: int, size: int) -> str:
    """Hash a file; it is hashed again if its time or size has changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _config(folder: Path) -> Any:
    transformers = optional("transformers", "teacher.kind transformers", "hf")
    try:
        return transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # foreign files may raise anything
        raise unreadable(_PATH, folder, error) from None


def _model(folder: Path) -> Any:
    """Load the model in float32; on torch's meta device without weights.

    Raises:
        ValueError: it cannot be loaded, weights are missing, or it is not a causal model with a linear head.
    """
    config, shapes_alone = _config(folder), torch.empty(0).is_meta
    auto = optional("transformers", "teacher.kind transformers", "hf").AutoModelForCausalLM
    missing: list[str] = []
    try:
        if shapes_alone:
            model = auto.from_config(config, trust_remote_code=False)
        else:
            model, missing = _with_weights(auto, folder, config)
    except Exception as error:
        raise unreadable(_PATH, folder, error) from None
    if missing:
        raise ValueError(f"{_PATH} is '{folder}'; {len(missing)} of its weights are missing, such as {missing[0]}")
    if model.get_output_embeddings() is None:
        raise ValueError(f"{_PATH} is '{folder}'; {_NO_HEAD}")
    if not shapes_alone:
        _try(folder, model.eval())
    return model


def _with_weights(auto: Any, folder: Path, config: Any) -> tuple[Any, list[str]]:
    """Load a model; return also the names of weights that its files lack or have in another shape."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, found = auto.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    finally:
        if shown:
            logging.enable_progress_bar()
    return model, sorted([*found["missing_keys"], *(str(key) for key in found["mismatched_keys"])])


@torch.no_grad()
def _try(folder: Path, model: Any) -> None:
    """Refuse a model whose states depend on later inputs, or whose predictions are not a linear map of its states."""
    last = model.config.get_text_config().vocab_size - 1
    tokens = torch.arange(min(_TRIED, _limit(model) or _TRIED)).clamp(max=last)[None]
    other = tokens.clone()
    other[:, -1] = 0
    embed = model.get_input_embeddings()
    states, moved = (_states(model, embed(one))[:, :-1] for one in (tokens, other))
    if not _same(states, moved):
        raise ValueError(f"{_PATH} is '{folder}'; its model sees later tokens: use a causal model")
    head = model.get_output_embeddings()
    if not _same(head(states), model(tokens).logits[:, :-1]):
        raise ValueError(f"{_PATH} is '{folder}'; {_NO_HEAD}")


def _limit(model: Any) -> int | None:
    """Return the number of tokens that a model can read, including the start token; None if there is no limit."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def _states(model: Any, entered: Float[Tensor, "B T width"]) -> Float[Tensor, "B T width"]:
    """Return the final states of a model's trunk."""
    return model.base_model(inputs_embeds=entered, use_cache=False).last_hidden_state


def _same(one: Tensor, other: Tensor) -> bool:
    return float((one - other).abs().max()) <= _SAME * float(other.abs().max())
