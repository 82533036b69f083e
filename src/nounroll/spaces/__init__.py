"""Spaces: what one element of a sequence may be. One space a file; ``base.py`` says what a space is."""

from nounroll.spaces.base import Space
from nounroll.spaces.bits import Bits
from nounroll.spaces.categorical import Categorical
from nounroll.spaces.count import Count
from nounroll.spaces.positive import Positive
from nounroll.spaces.product import Product
from nounroll.spaces.real import Real
from nounroll.spaces.registry import register_space, space_from_json, space_to_json
from nounroll.spaces.sampling import Sampling

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
