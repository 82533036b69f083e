"""Estimators for sequences in scikit-learn's conventions."""
