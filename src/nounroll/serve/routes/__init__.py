"""The routes, a file for each kind: ``completions``, ``sessions``, ``operation``, ``page``."""
