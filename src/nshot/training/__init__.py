"""What methods share when they fit: the training loop, the solver for linear heads, selection inside n labels."""
