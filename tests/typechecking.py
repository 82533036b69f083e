"""The type checker of the tests: beartype, by which a whole number is a float too, as Python's typing says."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
