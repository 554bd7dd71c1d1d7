"""All that is set on validation data: weights of language models, what confidence means, when to reject."""
