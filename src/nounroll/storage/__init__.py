"""Files of runs: opened safely, written atomically, verified when they are read."""
