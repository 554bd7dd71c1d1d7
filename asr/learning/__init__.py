"""Learn more from the hours at hand: how much more data would help, what to transcribe next, several models as one."""
