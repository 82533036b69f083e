"""Routes of the server, one file for each kind: ``completions``, ``sessions``, ``operation``, ``page``."""
