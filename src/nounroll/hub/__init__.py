"""Students in transformers and on the Hugging Face Hub. Importing this package registers them with Auto classes."""

try:
    import transformers as _transformers  # noqa: F401
except ImportError as error:
    raise ImportError("nounroll.hub needs the package transformers; pip install 'nounroll[hf]'") from error

from nounroll.hub.folder import save_pretrained, step_of
from nounroll.hub.model import NounrollConfig, NounrollForCausalLM
from nounroll.hub.push import push_to_hub

__all__ = ["NounrollConfig", "NounrollForCausalLM", "push_to_hub", "save_pretrained", "step_of"]
