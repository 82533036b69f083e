"""Models: the recurrent network that is kept after training, and generation with it."""
