"""Corpora: from recordings and texts to manifests, splits and packed audio."""
