"""Training: the loop, its tasks, data, augmentation, evaluation, budgets and checkpoints."""
