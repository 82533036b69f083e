"""Training: the single training loop, its engine, schedules, checkpoints and logs."""
