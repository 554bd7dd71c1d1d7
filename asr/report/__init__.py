"""Pictures of training and of what a model hears."""
