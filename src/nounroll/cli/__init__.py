"""Command line: one file per command, each a typed function from its arguments to plain values.

A command's docstring is its help. Its return value is printed as JSON with ``--json``, and otherwise formatted for
people by the file's ``show``. Notes and progress go to stderr.
"""
