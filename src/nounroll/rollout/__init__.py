"""What runs a student over time beside its own plain rollout: parallel windows, parallel solvers, evaluation."""
