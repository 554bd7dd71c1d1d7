"""The service and its page: `asr serve`. It never opens a path or an address that a request names."""
