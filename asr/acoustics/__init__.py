"""Noise, rooms, telephones and codecs: the changes to speech between the mouth and the file. No torch here."""
