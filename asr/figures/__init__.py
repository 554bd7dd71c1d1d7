"""Pictures and pages that training and other stages draw: curves, spectrograms, posteriors, attention, gradients."""
