"""The trunk of a causal language model that was trained elsewhere, in place of the causal trunk of our own.

The model is any that ``transformers.AutoModelForCausalLM`` loads from a folder of this machine, without code of the
folder's own and from safetensors alone. Its states over [BOS, x_0 .. x_{T-1}] are what memories are made of, and its
own head says what it expects next: the student can learn from that too (``teacher.distillation``).
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
_TRIED = 8  # tokens on which a model is tried
_SAME = 1e-4  # of the largest number: what rounding may change


class PretrainedEncoder(nn.Module):
    """The states of a pretrained causal language model: state t + 1 has seen x_0 .. x_t, state 0 the start alone.

    A frozen model is no part of this module's weights: no optimiser, checkpoint or shard has it. Checkpoints keep a
    fingerprint of its files in its place, and are not loaded beside another model. Dropout is off either way, so that
    labels are a function of the inputs.

    Attributes:
        longest: inputs that the model can read; None where there is no limit.
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
        if start is None:  # the middle of all tokens, and learnt
            self.start = nn.Parameter(model.get_input_embeddings().weight.detach().mean(0).clone())
        self.train()

    @property
    def model(self) -> Any:
        return self._held[0] if self.frozen else self.trained

    def held(self) -> Iterator[nn.Parameter]:
        """Weights that are needed and not trained."""
        return iter(self.model.parameters() if self.frozen else ())

    def train(self, mode: bool = True) -> "PretrainedEncoder":
        super().train(mode)
        self.model.eval()  # without dropout
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "PretrainedEncoder":
        for model in self._held:  # moves with the rest
            model._apply(fn)
        return super()._apply(fn, recurse)

    def read(self, inputs: Int[Tensor, "B T"]) -> Float[Tensor, "B T1 width"]:
        """The states after the start, and after each input."""
        embed = self.model.get_input_embeddings()
        if inputs.is_meta:  # shapes alone, which transformers' masks cannot be made of
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
        """Return whether its predictions are used: they are of the task's targets, and something learns from them."""
        return self.predicts and (self.distils or not self.frozen)

    def look_back(self, states: Float[Tensor, "B T1 width"]) -> Float[Tensor, "B T V"] | None:
        """Predict y_t from x_0 .. x_t by the model itself; None where nothing is to be learnt from it."""
        if not self.answers:
            return None
        head = self.model.get_output_embeddings()
        return head(states[:, 1:])[..., : self.symbols]


def _check_fingerprint(module: Any, state: dict[str, Tensor], prefix: str, *given: Any) -> None:
    """Refuse weights that were trained beside another frozen model."""
    kept, errors = state.get(f"{prefix}fingerprint"), given[-1]
    if kept is not None and not torch.equal(kept.cpu(), module.fingerprint.cpu()):
        errors.append(f"the model in {_PATH} is not the one that it was trained with; put that one back")


def model_folder(path: str) -> Path:
    """The folder of a model whose weights are safetensors.

    Raises:
        ValueError: it is not there, or holds no such model.
    """
    folder = existing(_PATH, path)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{_PATH} is '{path}'; it holds no model of transformers, which has a config.json")
    if not list(folder.glob("*.safetensors")):
        raise ValueError(f"{_PATH} is '{path}'; its weights must be safetensors, save the model with those")
    return folder


def check_vocabulary(folder: Path, inputs: Space, tokenizer: Tokenizer | None = None) -> int | None:
    """The token that begins a text, of a model whose tokens are the inputs; None where it has none.

    Args:
        folder: of the model.
        inputs: of the task.
        tokenizer: by which the task cuts its text, where it does.

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
    """Hash a file; it is read again when its time or size has changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _config(folder: Path) -> Any:
    transformers = optional("transformers", "teacher.kind transformers", "hf")
    try:
        return transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever files of strangers make it say
        raise unreadable(_PATH, folder, error) from None


def _model(folder: Path) -> Any:
    """The model with its weights, in float32; without any where torch makes shapes alone.

    Raises:
        ValueError: it cannot be loaded, weights are missing, or it is no causal model with a linear head.
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
    """A model, and the names of weights that its files lack or have in another shape."""
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
    """Refuse a model whose states see later inputs, or whose predictions are more than a linear map of its states."""
    last = model.config.get_text_config().vocab_size - 1
    tokens = torch.arange(min(_TRIED, _limit(model) or _TRIED)).clamp(max=last)[None]
    other = tokens.clone()
    other[:, -1] = 0
    embed = model.get_input_embeddings()
    states, moved = (_states(model, embed(one))[:, :-1] for one in (tokens, other))
    if not _same(states, moved):
        raise ValueError(f"{_PATH} is '{folder}'; its model sees the tokens that come later, take a causal one")
    head = model.get_output_embeddings()
    if not _same(head(states), model(tokens).logits[:, :-1]):
        raise ValueError(f"{_PATH} is '{folder}'; {_NO_HEAD}")


def _limit(model: Any) -> int | None:
    """Tokens that a model can read, its start among them; None where there is no limit."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def _states(model: Any, entered: Float[Tensor, "B T width"]) -> Float[Tensor, "B T width"]:
    """The last states of a model's trunk."""
    return model.base_model(inputs_embeds=entered, use_cache=False).last_hidden_state


def _same(one: Tensor, other: Tensor) -> bool:
    return float((one - other).abs().max()) <= _SAME * float(other.abs().max())
