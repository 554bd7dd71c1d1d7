"""Home Assistant's protocol, Wyoming: describe and info, transcribe, sound in chunks, transcripts."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info
from wyoming.ping import Ping, Pong

from asr.errors import AsrError, TextError
from asr.serving.engine.engine import EngineStream
from asr.serving.engine.messages import ModelInfo, Options
from asr.serving.errors import Busy, ServiceError, TooLarge, described
from asr.serving.live.deltas import Deltas
from asr.serving.live.pcm import Samples
from asr.serving.live.sockets import Room
from asr.serving.live.wyoming_audio import PcmFormat, Recording
from asr.serving.live.wyoming_wire import HEADER, read_event, write_event
from asr.serving.service import Service
from asr.version import __version__

_log = logging.getLogger(__name__)
_UNDETERMINED = "und"  # ISO 639-2: the language is not stated


@dataclass(frozen=True, slots=True)
class WyomingAddress:
    """Where the protocol is spoken. Port 0 is any free port."""

    host: str
    port: int

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Read `tcp://HOST:PORT`. Raises AsrError."""
        try:
            parts = urlsplit(uri)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if host is None or port is None or parts.scheme != "tcp" or parts.path not in ("", "/"):
            raise AsrError(f"--wyoming {uri}: must be tcp://HOST:PORT, such as tcp://127.0.0.1:10300")
        return cls(host, port)


class WyomingServer:
    """Speaks the protocol at an address, beside the web server and with its models."""

    def __init__(self, service: Service, address: WyomingAddress, languages: tuple[str, ...] = ()) -> None:
        """Serve the models of `service`. Home Assistant offers them for `languages`, codes such as `sw`."""
        self.service, self.languages = service, languages or (_UNDETERMINED,)
        self._address, self._room = address, Room(service.limits.sockets)
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], _Connection] = {}

    async def start(self) -> str:
        """Listen; return the address. Raises AsrError for an address that is taken or not of this machine."""
        host, port = self._address.host, self._address.port
        try:
            self._server = await asyncio.start_server(self._connected, host, port, limit=HEADER)
        except OSError as error:
            raise AsrError(
                f"--wyoming tcp://{host}:{port}: {error.strerror or error}; choose another port or address"
            ) from None
        return f"tcp://{f'[{host}]' if ':' in host else host}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Finish the transcripts in work, and close all connections."""
        if self._server is None:
            return
        self._server.close()
        for task, connection in list(self._open.items()):
            if not connection.transcribing:
                task.cancel()
        if self._open:
            _, late = await asyncio.wait(self._open, timeout=self.service.limits.timeout)
            for task in late:
                task.cancel()

    def info(self) -> Info:
        """Return what the service offers."""
        source = Attribution(name="asr", url="")
        known = list(self.service.engine.models.values())
        models = [
            AsrModel(
                name=one.name,
                attribution=source,
                installed=True,
                description=one.described,
                version=str(one.created),
                languages=list(self.languages),
            )
            for one in known
        ]
        program = AsrProgram(
            name="asr",
            attribution=source,
            installed=True,
            description="Speech recognition of this installation",
            version=__version__,
            models=models,
            supports_transcript_streaming=bool(known) and self.streams(known[0]),
        )
        return Info(asr=[program])

    def streams(self, model: ModelInfo) -> bool:
        """Return True if the text of a request comes while somebody speaks: never in a closed set of phrases."""
        defaults = self.service.engine.defaults
        return model.streaming and not defaults.phrases and not defaults.hotwords

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = self._open[task] = _Connection(self, reader, writer)
        entered = False
        try:
            self._room.enter()
            entered = True
            await connection.serve()
        except Busy as error:
            with suppress(OSError):
                await connection.fail(error)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client is gone, or the service stops
        finally:
            del self._open[task]
            if entered:
                self._room.leave()
            writer.close()


class _Connection:
    """One client."""

    def __init__(self, server: WyomingServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.transcribing = False
        self._server, self._engine = server, server.service.engine
        self._reader, self._writer = reader, writer
        self._asked = Transcribe()
        self._form: PcmFormat | None = None  # of the sound that comes
        self._recording: Recording | None = None  # either this
        self._stream: EngineStream | None = None  # or this takes the sound
        self._samples, self._deltas = Samples("pcm16"), Deltas()
        self._words: list[str] = []  # final ones of the stream

    async def serve(self) -> None:
        """Answer events until the client goes away or sends what cannot be understood."""
        first = True
        try:
            while (event := await read_event(self._reader, self._server.service.limits, first=first)) is not None:
                first = False
                await self._obey(event)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            await self.fail(error)
        finally:
            await self._forget()

    async def fail(self, error: Exception) -> None:
        """Tell the client of an error."""
        _, _, body = described(error)
        await self._send(Error(text=body["error"]["message"], code=body["error"]["code"]).event())

    async def _obey(self, event: Event) -> None:
        if Describe.is_type(event.type):
            await self._send(self._server.info().event())
        elif Ping.is_type(event.type):
            await self._send(Pong(text=Ping.from_event(event).text).event())
        elif Transcribe.is_type(event.type):
            self._asked = _checked(Transcribe.from_event(event))
            self._engine.info(self._asked.name)
        elif AudioStart.is_type(event.type):
            await self._forget()
            await self._begin(PcmFormat.of(event.data))
        elif AudioChunk.is_type(event.type):
            await self._take(PcmFormat.of(event.data), event.payload or b"")
        elif AudioStop.is_type(event.type):
            self.transcribing = True
            try:
                await self._end()
            finally:
                self.transcribing = False
                await self._forget()
                self._asked = Transcribe()
        # What else there is in the protocol is dropped, as it asks of servers.

    async def _begin(self, form: PcmFormat) -> None:
        info = self._engine.info(self._asked.name)
        self._form = form
        if self._server.streams(info) and not self._hotwords() and (form.width, form.channels) == (2, 1):
            with suppress(Busy):  # then the sound is transcribed at its end
                self._stream = await self._engine.open_stream(info.name, form.rate)
                await self._send(TranscriptStart(language=self._asked.language).event())
                return
        self._recording = Recording(form)

    async def _take(self, form: PcmFormat, sound: bytes) -> None:
        if self._form is None:
            await self._begin(form)
        if form != self._form:
            raise ServiceError(f"a chunk is {form}, the chunks before it were {self._form}", code="invalid_audio")
        if self._recording is not None:
            self._recording.write(sound)
        elif self._stream is not None:
            ended, partial = await self._stream.feed(self._samples(sound))
            self._words += [word.text for word in ended]
            if len(self._words) > self._server.service.limits.words:
                raise TooLarge(f"the sound has more than {self._server.service.limits.words} words")
            await self._send_chunk(self._deltas.update(self._words, partial))

    async def _end(self) -> None:
        if self._form is None:
            raise ServiceError("audio-stop came without sound", code="invalid_event")
        if self._stream is not None:
            text = (await self._stream.finish()).text
            await self._send_chunk(self._deltas.rest(text))
        else:
            text = await self._transcribed()
        await self._send(Transcript(text=text, language=self._asked.language).event())
        if self._stream is not None:
            await self._send(TranscriptStop().event())

    async def _transcribed(self) -> str:
        """Return the text of the recording, with the words that the client favours if the model can spell them."""
        assert self._recording is not None
        path, model = self._recording.finish(), self._engine.info(self._asked.name).name
        if hotwords := self._hotwords():
            try:
                (found,) = await self._engine.transcribe(model, path, Options(hotwords=hotwords))
                return found.text
            except TextError as error:
                _log.warning("the names that a client favours are left out: %s", error)
        (found,) = await self._engine.transcribe(model, path)
        return found.text

    def _hotwords(self) -> tuple[str, ...]:
        """Return the names and terms of the request. A closed set of phrases or words of the service precede them."""
        if self._engine.defaults.phrases or self._engine.defaults.hotwords:
            return ()
        return (*(self._asked.transcript_names or ()), *(self._asked.transcript_terms or ()))

    async def _send_chunk(self, text: str) -> None:
        if text:
            await self._send(TranscriptChunk(text=text).event())

    async def _send(self, event: Event) -> None:
        await write_event(self._writer, event)

    async def _forget(self) -> None:
        """Forget the sound of the last request."""
        if self._recording is not None:
            self._recording.close()
        if self._stream is not None:
            await self._stream.close()
        self._form = self._recording = self._stream = None
        self._samples, self._deltas, self._words = Samples("pcm16"), Deltas(), []


def _checked(asked: Transcribe) -> Transcribe:
    """Return the request if its fields are what they should be. Raises ServiceError."""
    for name in ("name", "language"):
        if not isinstance(getattr(asked, name), str | None):
            raise ServiceError(f"{name} must be a text", param=name, code="invalid_event")
    for name in ("transcript_names", "transcript_terms"):
        words = getattr(asked, name)
        if words is not None and not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
            raise ServiceError(f"{name} must be a list of texts", param=name, code="invalid_event")
    return asked
