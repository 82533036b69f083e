"""The command line: one command a file, each a typed function from its arguments to plain values.

A command's docstring is its help. What it returns is printed as JSON under ``--json``, and otherwise by the
``show`` beside it, for people. Notes and progress go to stderr.
"""
