"""Requests that bring a recording and get a transcript: OpenAI's API, and the service's own."""
