"""Foundations of all packages: seeds, ranges of settings, processes, the machine."""
