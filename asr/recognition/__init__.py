"""Everything between a model and a transcript: recordings of any length, streams, alignment."""
