"""Every test runs with shapes and types checked at each call: jaxtyping's annotations, by beartype."""

import signal

from jaxtyping import install_import_hook

install_import_hook("nounroll", "typechecking.check")

# What a shell starts in the background ignores Ctrl-C, and so would every command that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
