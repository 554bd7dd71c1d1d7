"""Home Assistant's protocol, by the client of the `wyoming` package, and by clients that send what they like."""

import asyncio
import json
import os
import signal
import socket
import struct
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from conftest import PATIENCE, served
from conftest import until as wait_until
from live_service import RATE, Running, run, running, speech
from processes import run_asr
from typer.testing import CliRunner
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong

import asr
from asr.cli import app
from asr.errors import AsrError
from asr.serving.live.wyoming import WyomingAddress

LIMITS = {"streams": 2, "sockets": 40, "first": 2.0, "silent": 4.0, "block": 100_000}
PHRASES = ("ab", "cé a", "aé b")


@pytest.fixture(scope="module")
def service(live_folder: Path) -> Iterator[Running]:
    with running(live_folder, limits=LIMITS) as started:
        yield started


@asynccontextmanager
async def client(uri: str) -> AsyncIterator[AsyncTcpClient]:
    place = urlsplit(uri)
    async with AsyncTcpClient(str(place.hostname), int(place.port or 0), read_timeout=PATIENCE) as connected:
        yield connected


async def command(
    connection: AsyncTcpClient, samples: np.ndarray, asked: Transcribe, *, size: int = 1024, **form: int
) -> list[Event]:
    """Send a request as Home Assistant does; return the events up to its transcript, or to an error."""
    form = {"rate": RATE, "width": 2, "channels": 1, **form}
    content = samples.tobytes()
    await connection.write_event(asked.event())
    await connection.write_event(AudioStart(**form).event())
    for begin in range(0, len(content), size):
        await connection.write_event(AudioChunk(**form, audio=content[begin : begin + size]).event())
    await connection.write_event(AudioStop().event())
    return await until(connection, "transcript", "error")


async def until(connection: AsyncTcpClient, *kinds: str) -> list[Event]:
    events: list[Event] = []
    while not events or events[-1].type not in kinds:
        event = await connection.read_event()
        assert event is not None, events
        events.append(event)
    return events


def expected(live_folder: Path, samples: np.ndarray, **options: Any) -> str:
    return asr.load(live_folder / "two.onnx").transcribe(samples, RATE, **options).text


def test_what_home_assistant_asks(service: Running, live_folder: Path) -> None:
    """Describe, then a command: each in a connection of its own, and both in one."""
    samples = speech(1)

    async def work() -> None:
        async with client(service.wyoming) as connection:
            for _ in range(2):
                await connection.write_event(Describe().event())
                (program,) = Info.from_event((await until(connection, "info"))[-1]).asr
                assert [model.name for model in program.models] == ["one", "two"]
                assert all(model.installed and model.languages == ["sw", "en"] for model in program.models)
                assert program.supports_transcript_streaming and "at pauses" in str(program.models[1].description)
                events = await command(connection, samples, Transcribe(name="two", language="sw"))
                assert [event.type for event in events] == ["transcript"]
                transcript = Transcript.from_event(events[0])
                assert transcript.text == expected(live_folder, samples) != "" and transcript.language == "sw"
            await connection.write_event(Ping(text="there?").event())
            assert Pong.from_event((await until(connection, "pong"))[-1]).text == "there?"
            await connection.write_event(Event("something-new", {"a": 1}))
            await connection.write_event(Ping().event())
            assert (await until(connection, "pong"))[-1].type == "pong"

    run(work)


def test_a_model_that_streams_tells_the_text_as_it_comes(service: Running, live_folder: Path) -> None:
    samples = speech(3)
    stream = asr.load(live_folder / "one.onnx").stream(RATE)
    stream.feed(samples)
    text = stream.finish().text

    async def work() -> None:
        async with client(service.wyoming) as connection:
            for size in (4000, 1023):
                events = await command(connection, samples, Transcribe(), size=size)
                events += await until(connection, "transcript-stop")
                kinds = [event.type for event in events]
                assert kinds[0] == "transcript-start" and kinds[-2:] == ["transcript", "transcript-stop"]
                assert set(kinds[1:-2]) == {"transcript-chunk"} and len(kinds) > 5
                assert "".join(event.data["text"] for event in events[1:-2]) == text == events[-2].data["text"]
            stereo = np.stack([samples, samples], axis=1)
            events = await command(connection, stereo, Transcribe(), size=4000, channels=2)
            assert [event.type for event in events] == ["transcript"]  # as a recording, at its end
            assert events[0].data["text"] == asr.load(live_folder / "one.onnx").transcribe(samples, RATE).text

    run(work)


def test_other_formats_and_favoured_words(service: Running, live_folder: Path) -> None:
    samples = speech(1)
    wide = samples.astype("<i4") * 65536
    favoured = expected(live_folder, samples, hotwords=["ab"])

    async def work() -> None:
        async with client(service.wyoming) as connection:
            events = await command(connection, wide, Transcribe(name="two"), size=4096, width=4)
            assert events[-1].data["text"] == expected(live_folder, samples)
            events = await command(connection, samples, Transcribe(name="two", transcript_names=["ab"]))
            assert events[-1].data["text"] == favoured
            asked = Transcribe(name="two", transcript_names=["Lampe 7"], transcript_terms=["ab"])
            events = await command(connection, samples, asked)  # the model has no such letters: left out, and logged
            assert events[-1].data["text"] == expected(live_folder, samples)

    run(work)


def test_a_household_s_own_commands(live_folder: Path, tmp_path: Path) -> None:
    """`asr serve --wyoming --phrases`: each transcript is one of the phrases, or empty."""
    samples = speech(1)[: 2 * RATE]
    (tmp_path / "phrases.txt").write_text("\n".join(PHRASES))
    arguments = ["--wyoming", "tcp://127.0.0.1:0", "--phrases", tmp_path / "phrases.txt"]
    text = expected(live_folder, samples, phrases=PHRASES)
    with served(live_folder / "two.onnx", *arguments, "--language", "sw") as service:
        (uri,) = [line.split()[-1] for line in service.lines if line.startswith("Home Assistant: ")]

        async def work() -> None:
            async with client(uri) as connection:
                await connection.write_event(Describe().event())
                (program,) = Info.from_event((await until(connection, "info"))[-1]).asr
                assert program.models[0].languages == ["sw"] and not program.supports_transcript_streaming
                events = await command(connection, samples, Transcribe(transcript_names=["zzz"]))
                assert events[-1].data["text"] == text and text in ("", *PHRASES)

        run(work)
    assert "Traceback" not in service.said


def header(kind: str, payload: bytes = b"", **fields: object) -> bytes:
    return json.dumps({"type": kind, **fields}).encode() + b"\n" + payload


CHUNK = {"rate": RATE, "width": 2, "channels": 1}
WRONG = [
    (b"GET / HTTP/1.1\r\n\r\n", "is a JSON object in a line"),
    (b"[" * 60_000 + b"\n", "is a JSON object in a line"),
    (b"x" * 200_000, "more than 65536 bytes"),
    (b"\xff\xfe\n", "is a JSON object in a line"),
    (b"[1]\n", "is a JSON object in a line"),
    (b"{}\n", "has no type"),
    (header("audio-chunk", payload_length=10**12), "send 100000 bytes at most"),
    (header("audio-chunk", payload_length=-1), "must be a number of bytes"),
    (header("audio-chunk", payload_length="9"), "must be a number of bytes"),
    (header("describe", data_length=2**40), "send 262144 bytes at most"),
    (header("describe", b"[]", data_length=2), "is a JSON object in a line"),
    (header("describe", data=[1]), "must be an object"),
    (header("audio-start", data={**CHUNK, "rate": 0}), "rate is '0'"),
    (header("audio-start", data={**CHUNK, "rate": 10**9}), "4000 to 192000 Hz"),
    (header("audio-start", data={**CHUNK, "width": 5}), "1 to 4"),
    (header("audio-start", data={**CHUNK, "channels": 10**6}), "1 to 16"),
    (header("audio-start", data={}), "rate is 'None'"),
    (header("audio-stop"), "came without sound"),
    (header("audio-start", data=CHUNK) + header("audio-chunk", data={**CHUNK, "rate": 16000}), "a chunk is"),
    (header("transcribe", data={"name": "three"}), "there is no model 'three'"),
    (header("transcribe", data={"name": ["one"]}), "name must be a text"),
    (header("transcribe", data={"transcript_names": "ab"}), "must be a list of texts"),
]  # fmt: skip


def rest(connection: socket.socket) -> bytes:
    """Return what comes up to the end of a connection, and close it."""
    answer = b""
    with connection, suppress(ConnectionResetError):  # what was sent and not read resets it, after the answer
        while part := connection.recv(65536):
            answer += part
    return answer


def test_what_is_wrong_is_told_and_ends_the_connection(service: Running) -> None:
    place = urlsplit(service.wyoming)
    for content, message in WRONG:
        with socket.create_connection((place.hostname, place.port), timeout=PATIENCE) as connection:
            with suppress(ConnectionError):  # a content that is too large is not read to its end
                connection.sendall(content)
            answer = rest(connection)
            if content.startswith(b"x"):
                assert message.encode() in answer or not answer
                continue
            assert b'"error"' in answer and message in answer.decode().replace("\\", ""), (content[:80], answer)


def test_clients_that_vanish_or_say_nothing(service: Running, live_folder: Path) -> None:
    """They leave no file, hold no stream, and others are served."""
    place = urlsplit(service.wyoming)

    def opened() -> socket.socket:
        return socket.create_connection((place.hostname, place.port), timeout=PATIENCE)

    for _ in range(6):
        for name in ("one", "two"):
            with opened() as connection:
                connection.sendall(header("transcribe", data={"name": name}) + header("audio-start", data=CHUNK))
                connection.sendall(header("audio-chunk", bytes(50), data=CHUNK, payload_length=2000))
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset
    told = [rest(connection) for connection in [opened() for _ in range(41)]]
    busy = [b'"busy"' in answer for answer in told]
    assert 1 <= sum(busy) < 41  # those that vanished may still be counted
    assert all(b"no event came for 2 s" in answer for answer, late in zip(told, busy, strict=True) if not late)

    async def work() -> None:
        async with client(service.wyoming) as connection:
            events = await command(connection, speech(1), Transcribe())
            assert events[0].type == "transcript-start" and events[-1].type == "transcript"

    run(work)
    wait_until(lambda: not list(service.temporary.glob("asr-wyoming-*")))


def listens(uri: str) -> bool:
    place = urlsplit(uri)
    try:
        socket.create_connection((place.hostname, place.port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_stop_finishes_what_was_taken(live_folder: Path) -> None:
    samples = speech(1)
    with running(live_folder) as service:
        pid = service.worker()

        async def work() -> None:
            async with client(service.wyoming) as idle, client(service.wyoming) as connection:
                await idle.write_event(Ping().event())
                await until(idle, "pong")
                os.kill(pid, signal.SIGSTOP)
                asked = asyncio.create_task(command(connection, samples, Transcribe(name="two")))
                while await service.metric("asr_queue_length", "asr_batch_size_sum") < 1:
                    await asyncio.sleep(0.05)
                service.process.terminate()
                await asyncio.to_thread(wait_until, lambda: not listens(service.wyoming))
                os.kill(pid, signal.SIGCONT)
                assert (await asked)[-1].data["text"] == expected(live_folder, samples)
                assert await idle.read_event() is None

        run(work)


def test_addresses(tmp_path: Path, live_folder: Path) -> None:
    assert WyomingAddress.parse("tcp://[::1]:10300") == WyomingAddress("::1", 10300)
    for uri in ("10300", "unix:///x", "tcp://127.0.0.1", "tcp://:1", "tcp://h:99999", "tcp://h:1/x", "tcp://[::1:5"):
        with pytest.raises(AsrError, match="must be tcp://HOST:PORT"):
            WyomingAddress.parse(uri)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        uri = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        found = run_asr("serve", live_folder / "two.onnx", "--port", "0", "--wyoming", uri)
        assert found.returncode == 1 and f"--wyoming {uri}: " in found.stderr and "Traceback" not in found.stderr
    wrong = CliRunner().invoke(app, ["serve", str(live_folder / "two.onnx"), "--language", "sw"])
    assert isinstance(wrong.exception, AsrError) and "goes with --wyoming" in str(wrong.exception)


def test_sound_of_a_request_is_a_file_of_the_standard(tmp_path: Path) -> None:
    from asr.serving.errors import TooLarge
    from asr.serving.live.wyoming_audio import PcmFormat, Recording

    recording = Recording(PcmFormat(RATE, 2, 2), most=100)
    recording.write(bytes(60))
    with pytest.raises(TooLarge, match="more than 100 bytes"):
        recording.write(bytes(60))
    with wave.open(str(recording.finish())) as file:
        assert (file.getnframes(), file.getframerate(), file.getnchannels()) == (15, RATE, 2)
    recording.close()
    recording.close()
    assert not recording.path.exists()
