"""Foundations of all packages: batches, spaces, seeds, ranges of settings, processes, the machine."""
