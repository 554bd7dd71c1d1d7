"""How good a transcript is, and how sure of that we can be."""
