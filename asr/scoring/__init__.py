"""Error rates of transcripts, their 95 % intervals, and tables that show where the errors are."""
