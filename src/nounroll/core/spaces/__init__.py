"""Spaces: the sets of possible elements of a sequence. One file per space; ``base.py`` defines the interface."""

from nounroll.core.spaces.base import Space
from nounroll.core.spaces.bits import Bits
from nounroll.core.spaces.categorical import Categorical
from nounroll.core.spaces.count import Count
from nounroll.core.spaces.positive import Positive
from nounroll.core.spaces.product import Product
from nounroll.core.spaces.real import Real
from nounroll.core.spaces.registry import register_space, space_from_json, space_to_json
from nounroll.core.spaces.sampling import Sampling

__all__ = [
    "Bits",
    "Categorical",
    "Count",
    "Positive",
    "Product",
    "Real",
    "Sampling",
    "Space",
    "register_space",
    "space_from_json",
    "space_to_json",
]
