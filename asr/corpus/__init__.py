"""From recordings and texts to what training reads: manifests, splits, packed audio."""
