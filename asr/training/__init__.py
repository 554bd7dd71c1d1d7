"""The training loop and what it needs: data, augmentation, evaluation, schedule."""
