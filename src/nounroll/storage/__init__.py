"""Files of runs: opened with care, written whole or not at all, checked when they are read."""
