"""Pages of finished work: a training run, a score, suspect transcripts."""
