"""Language models: n-grams in flat arrays, estimated from text or read from ARPA files, and recurrent networks."""
