"""Tables: files of rows and columns that hold sequences; each column has a role."""
