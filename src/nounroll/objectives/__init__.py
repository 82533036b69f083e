"""Losses: pure functions from tensors to unreduced losses, each with its formula and its source."""
