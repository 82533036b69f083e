"""Experiments: recipes, the resolution of their settings, warm starts, comparisons and sweeps."""
