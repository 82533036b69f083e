"""Student as a model of transformers, with its memory as the cache: the same size after any number of tokens."""

from typing import Any, no_type_check

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, Cache, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import LinearAttentionLayer
from transformers.modeling_outputs import CausalLMOutputWithPast

from nounroll.cells.base import observe
from nounroll.core.spaces import space_from_json
from nounroll.models.student import Student, cell_settings
from nounroll.nn.rotary import Rotary


@no_type_check  # transformers passes arguments that are not in its constructor's signature
class NounrollConfig(PreTrainedConfig):
    """Configuration from the config.json of ``Student.save_pretrained``, with the additional fields of transformers.

    Args:
        inputs, targets: the two spaces, both categorical; every target is a valid input.
        readout_width: hidden width of the readout; 0 is a linear readout.
        cell: the values of a ``CellSettings``.
    """

    model_type = "nounroll"

    inputs: dict[str, Any] | None = None
    targets: dict[str, Any] | None = None
    readout_width: int = 256
    cell: dict[str, Any] | None = None
    vocab_size: int = 0
    use_cache: bool = True


class MemoryLayer(LinearAttentionLayer):
    """Memory of each row, (B, K, d). Beam search reorders the rows."""

    def update_recurrent_state(self, recurrent_states: Tensor, state_idx: int = 0, **kwargs: Any) -> Tensor:
        self.device, self.has_previous_state[state_idx] = recurrent_states.device, True
        return super().update_recurrent_state(recurrent_states, state_idx, **kwargs)


class NounrollForCausalLM(PreTrainedModel, GenerationMixin):
    """Causal language model of transformers that wraps a student.

    Padding is marked by 0 in ``attention_mask``, or by the token ``config.pad_token_id``, which is not a symbol. It
    does not change the memory.
    """

    config_class = NounrollConfig  # type: ignore[assignment]
    base_model_prefix = "student"
    main_input_name = "input_ids"
    _is_stateful = True  # a memory cannot be rolled back

    def __init__(self, config: NounrollConfig) -> None:
        super().__init__(config)
        assert config.inputs is not None
        assert config.targets is not None
        inputs, targets = space_from_json(config.inputs), space_from_json(config.targets)
        self.student = Student(inputs, targets, cell_settings(config.cell or {}), readout_width=config.readout_width)
        self.post_init()

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B past_and_T"] | Bool[Tensor, "B past_and_T"] | None = None,
        cache: Cache | None = None,
        use_cache: bool | None = None,
        labels: Int[Tensor, "B T"] | None = None,
        logits_to_keep: int | Int[Tensor, "S"] = 0,
        return_dict: bool | None = None,
        *,
        past_key_values: Cache | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Any:
        """Read tokens and predict the next token after each.

        Args:
            input_ids: tokens.
            attention_mask: 0 at padding; for these tokens, preceded by all tokens that were read before.
            cache: the memories to continue from; the empty memory by default. It is changed in place.
            use_cache: return a cache; by default unless the model is being trained.
            labels: the same tokens, with -100 at tokens that are not scored; each is predicted from the tokens before
                it.
            logits_to_keep: number of last positions, or the positions, whose logits are returned; 0 keeps all.
            return_dict: False returns a tuple.
            past_key_values: another name of ``cache``.
            output_hidden_states: return the readout's input after each token as the only hidden state.
            output_attentions, position_ids, token_type_ids: ignored; there is no attention, and a memory contains the
                position.

        Returns:
            loss (with labels), logits (B, T, V) of the token after each, and cache.

        Raises:
            ValueError: a token is not in the input space.
        """
        cache = past_key_values if cache is None else cache
        memories = self._memories(input_ids, attention_mask, cache)
        features = observe(self.student.cell, memories)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) and logits_to_keep else logits_to_keep
        logits = self.student.head(features if isinstance(kept, int) else features[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size)
        keep = self.config.use_cache and not self.training if use_cache is None else use_cache
        if keep:
            cache = cache or Cache(layers=[MemoryLayer()])
            cache.update_recurrent_state(memories[:, -1], 0)
        output = CausalLMOutputWithPast(loss=loss, logits=logits, cache=cache if keep else None)  # type: ignore
        if output_hidden_states:
            output["hidden_states"] = (features,)
        return output if return_dict in (None, True) else output.to_tuple()

    def _memories(
        self, tokens: Int[Tensor, "B T"], mask: Tensor | None, cache: Cache | None
    ) -> Float[Tensor, "B T K d"]:
        """Compute the memory after each token."""
        memory = None if cache is None else cache.get_recurrent_state(0)
        padding = tokens == self.config.pad_token_id
        if mask is not None:
            padding = padding | (mask[:, -tokens.shape[1] :] == 0)
        tokens = tokens.long().masked_fill(padding, 0)
        self.student.inputs.check("input_ids", tokens)
        if not padding.any():
            return self.student.rollout(tokens, memory)[:, 1:]
        memory = self.student.initial_memory(len(tokens)) if memory is None else memory
        memories = []
        for t in range(tokens.shape[1]):
            memory = torch.where(padding[:, t, None, None], memory, self.student.step(tokens[:, t], memory))
            memories.append(memory)
        return torch.stack(memories, dim=1)

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> Any:
        """Return the arguments of ``forward``; ``generate`` also passes tokenizers, for its stopping criteria."""
        for name in ("tokenizer", "assistant_tokenizer"):
            kwargs.pop(name, None)
        return super().prepare_inputs_for_generation(*args, **kwargs)  # type: ignore[attr-defined]

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.student.cell.embed.map

    def set_input_embeddings(self, value: torch.nn.Module) -> None:
        raise ValueError(f"vocab_size is {self.config.vocab_size}; a trained network's symbols stay as they are")

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.student.head.out

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Initialise only weights that no file contains."""
        if isinstance(module, Rotary):
            module.rate.copy_(Rotary(2 * len(module.rate)).rate)

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # forward creates its own


def config_of(student: Student, *, first: int | None = None) -> NounrollConfig:
    """Build the configuration of a student as a model of transformers.

    Args:
        student: a student whose targets are valid inputs.
        first: the start token of generation without a prompt.

    Raises:
        ValueError: inputs or targets are vectors, a target is not a valid input, or the cell is the user's own.
    """
    inputs, targets = student.inputs, student.targets
    if inputs.symbols is None or targets.symbols is None or targets.symbols > inputs.symbols:
        raise ValueError(f"targets are {targets}, inputs {inputs}; transformers needs symbols, each target an input")
    names = {
        "architectures": [NounrollForCausalLM.__name__],
        "vocab_size": targets.symbols,
        "tie_word_embeddings": False,
    }
    end = None  # no token ends a text
    special = {"bos_token_id": first, "eos_token_id": end, "pad_token_id": inputs.symbols}
    return NounrollConfig(**student.to_config(), **special, **names)


AutoConfig.register(NounrollConfig.model_type, NounrollConfig)
AutoModelForCausalLM.register(NounrollConfig, NounrollForCausalLM)
