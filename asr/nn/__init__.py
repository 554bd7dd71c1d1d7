"""The networks: recurrent layers, encoder, CTC and attention decoder, classifier, language model."""
