"""Training: the only loop, the engine under it, schedules, checkpoints and logs."""
