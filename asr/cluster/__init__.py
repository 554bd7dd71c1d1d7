"""Past one machine: transcription of large inputs by many processes."""
