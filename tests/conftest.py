"""Every test runs with shapes and types checked at each call: jaxtyping's annotations, by beartype."""

from jaxtyping import install_import_hook

install_import_hook("nounroll", "typechecking.check")
