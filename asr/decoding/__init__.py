"""From log-probabilities to unit sequences."""
