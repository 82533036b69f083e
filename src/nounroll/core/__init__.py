"""What everything stands on: seeds, ranges of settings, processes, the machine."""
