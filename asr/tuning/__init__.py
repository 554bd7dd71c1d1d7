"""Tuning on validation data: weights of language models, confidence of words, rejection of phrases."""
