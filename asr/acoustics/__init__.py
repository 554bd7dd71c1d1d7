"""What happens to speech between the mouth and the file: noise, rooms, telephones and codecs. No torch here."""
