"""Models for others: the card that describes a model, the files to share, the archive to deposit."""
