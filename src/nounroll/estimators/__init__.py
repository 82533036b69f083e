"""Networks on sequences in scikit-learn's conventions."""
