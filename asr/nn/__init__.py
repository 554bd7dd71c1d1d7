"""The acoustic model: recurrent layers, encoder, CTC."""
