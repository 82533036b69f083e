"""Rollouts of a student beyond the plain one: parallel windows, parallel solvers, evaluation."""
