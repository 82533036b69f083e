"""Losses: tensors in, unreduced losses out, each with its formula and its source."""
