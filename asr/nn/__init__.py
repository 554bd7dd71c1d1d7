"""The networks: recurrent layers, encoder, CTC, attention decoder, transducer, classifier, language model."""
