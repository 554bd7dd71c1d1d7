"""The limits of a service: sizes, lengths of queues, seconds."""

from dataclasses import dataclass

UPLOAD = 4 * 1024**3  # bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what one request, and all requests together, can take."""

    upload: int = UPLOAD  # bytes of the body of a request
    text: int = 1024**2  # bytes of all fields of a form that are no files
    queue: int = 256  # requests that wait for a model
    batch: int = 32  # requests that are computed together
    latency: float = 0.0  # seconds that a request waits for others to be computed with, although a worker is free
    timeout: float = 600.0  # seconds from the end of an upload to its answer
    idle: float = 30.0  # seconds without a byte after which a connection is closed
    streams: int = 32  # open streams of live sound
    sockets: int = 256  # connections of one protocol of live sound, also those that have no stream yet
    block: int = 1024**2  # bytes of sound in one message
    first: float = 10.0  # seconds from the opening of a socket to its first message
    silent: float = 60.0  # seconds without a message after which a socket is closed; silence is sound, and is sent
    resting: float = 600.0  # seconds without a message after which a Realtime session without open sound is closed
    words: int = 100_000  # of one stream, which ends after them: some ten hours of speech
    short: int = 2 * 1024**2  # bytes of a recording that is computed beside a long one, not after it
