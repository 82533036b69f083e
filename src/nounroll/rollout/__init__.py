"""Rollouts of a student other than the plain one: parallel windows, parallel solvers, evaluation."""
