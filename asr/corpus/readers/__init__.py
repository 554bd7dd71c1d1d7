"""Corpora as people have them, one module per format.

Each has `NAME` for people, `recognises(source)`, which is cheap and never raises, and `read(source)`, which gives
utterances by split: `train`, `validation`, `test` or what the source calls it, and "" where it has no split. Parts of
recordings stay references (`offset`, `duration`). Every row is given, those without transcript (`text` None) or
whose audio is not there too. What cannot be read raises SourceError.
"""
