"""Pictures and pages of training and of other stages: curves, spectrograms, posteriors, attention, gradients."""
