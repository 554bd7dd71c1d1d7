"""Decoders: from log-probabilities to unit sequences, with language models, and to the times of words."""
