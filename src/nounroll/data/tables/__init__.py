"""Tables: files of rows and columns, by role a set of sequences."""
