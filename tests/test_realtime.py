"""Realtime transcription sessions, by the client of the `openai` package and by clients that send what they like."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import soxr
from conftest import PATIENCE
from live_service import RATE, Running, run, running, speech
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from websockets.asyncio.client import ClientConnection, connect

import asr
from asr.recognition.turn_stream import open_stream
from asr.serving.live.deltas import Deltas

LIMITS = {"streams": 2, "first": 5.0, "silent": 20.0, "resting": 5.0, "block": 200_000}
EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
ITEM = "conversation.item.input_audio_transcription"


@pytest.fixture(scope="module")
def service(live_folder: Path) -> Iterator[Running]:
    with running(live_folder, limits=LIMITS) as started:
        yield started


@asynccontextmanager
async def session(service: Running) -> AsyncIterator[AsyncRealtimeConnection]:
    client = openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none")
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        created = await received(connection)
        assert created.type == "session.created" and created.session.type == "transcription"
        yield connection


async def received(connection: AsyncRealtimeConnection) -> Any:
    """Return the next event, which must be one that the client knows, with all fields that it needs."""
    raw = await asyncio.wait_for(connection.recv_bytes(), PATIENCE)
    EVENT.validate_json(raw)
    return connection.parse_event(raw)


async def until(connection: AsyncRealtimeConnection, kind: str, count: int = 1) -> list[Any]:
    events = []
    while sum(event.type == kind for event in events) < count:
        events.append(await received(connection))
    return events


def at_24k(samples: np.ndarray) -> np.ndarray:
    return (soxr.resample(samples / 32768, RATE, 24_000) * 32767).astype("<i2")


async def append(connection: AsyncRealtimeConnection, content: bytes, size: int = 4801) -> None:
    for begin in range(0, len(content), size):
        part = content[begin : begin + size]
        await connection.input_audio_buffer.append(audio=base64.b64encode(part).decode())


@pytest.mark.parametrize("name", ["one", "two"])
def test_turns_are_found_and_transcribed(service: Running, live_folder: Path, name: str) -> None:
    """With turn detection of the service: each burst of sound is an item, in order, with its own text."""
    samples = at_24k(speech(3))

    async def work() -> None:
        async with session(service) as connection:
            await connection.session.update(
                session={"type": "transcription", "audio": {"input": {"transcription": {"model": name}}}}
            )
            found = (await received(connection)).session.audio.input
            assert (found.transcription.model, found.format.rate) == (name, 24_000)
            assert (found.turn_detection.type, found.turn_detection.silence_duration_ms) == ("server_vad", 500)
            await append(connection, samples.tobytes())
            events = await until(connection, f"{ITEM}.completed", 3)
        model = asr.load(live_folder / f"{name}.onnx")
        previous = None
        for started, stopped, done in zip(
            *([event for event in events if event.type == kind] for kind in
              ("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", f"{ITEM}.completed")),
            strict=True,
        ):  # fmt: skip
            assert started.item_id == stopped.item_id == done.item_id
            begin, end = started.audio_start_ms * 24, stopped.audio_end_ms * 24
            assert 0.5 < (end - begin) / 24_000 < 3.5 and done.usage.seconds == pytest.approx(
                (end - begin) / 24_000, abs=0.3
            )
            stream = open_stream(model, 24_000)
            stream.feed(samples[begin : begin + round(done.usage.seconds * 24_000)])
            assert done.transcript == stream.finish().text != ""
            mine = [event for event in events if getattr(event, "item_id", None) == done.item_id]
            kinds = [event.type for event in mine if event.type != f"{ITEM}.delta"]
            assert kinds == ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped",
                             "input_audio_buffer.committed", f"{ITEM}.completed"]  # fmt: skip
            assert "".join(event.delta for event in mine if event.type == f"{ITEM}.delta") == done.transcript
            committed = next(event for event in mine if event.type == "input_audio_buffer.committed")
            added = [event for event in events if event.type.startswith("conversation.item.") and
                     getattr(event, "item", None) is not None and event.item.id == done.item_id]  # fmt: skip
            assert [event.type for event in added] == ["conversation.item.added", "conversation.item.done"]
            assert {committed.previous_item_id, *(event.previous_item_id for event in added)} == {previous}
            previous = done.item_id
        assert len({event.event_id for event in events}) == len(events)

    run(work)


def test_a_client_that_commits_itself(service: Running, live_folder: Path) -> None:
    samples = speech(1)
    expected = open_stream(asr.load(live_folder / "two.onnx"), RATE)
    expected.feed(samples)
    text = expected.finish().text

    async def work() -> None:
        async with session(service) as connection:
            audio = {"format": {"type": "audio/pcm", "rate": RATE}, "transcription": {"model": "two", "language": "xx"},
                     "turn_detection": None}  # fmt: skip
            await connection.send(
                {"type": "session.update", "session": {"type": "transcription", "audio": {"input": audio}}}
            )
            raw = json.loads(await connection.recv_bytes())
            shown = raw["session"]["audio"]["input"]
            assert shown["turn_detection"] is None and shown["transcription"]["language"] == "xx"
            for _ in range(2):
                await append(connection, samples.tobytes(), 999)
                await connection.input_audio_buffer.commit()
                events = await until(connection, f"{ITEM}.completed")
                assert events[-1].transcript == text != ""
                assert events[-1].usage.seconds == pytest.approx(len(samples) / RATE, abs=0.001)
                assert not any("speech" in event.type for event in events)
            await append(connection, samples.tobytes())
            await connection.input_audio_buffer.clear()
            await until(connection, "input_audio_buffer.cleared")
            await append(connection, samples[:100].tobytes())
            await connection.input_audio_buffer.commit(event_id="mine")
            error = (await received(connection)).error
            assert (error.code, error.event_id) == ("input_audio_buffer_commit_empty", "mine")

    run(work)


@asynccontextmanager
async def raw_session(
    service: Running, query: str = "?intent=transcription", **options: Any
) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://{service.address}/v1/realtime{query}", **options) as socket:
        yield socket


WRONG = [
    (b"\0\1", "a text message with JSON"),
    ("{", "no JSON"),
    ("[" * 90_000, "no JSON"),
    ("null", "must be an object"),
    ("{}", "means nothing"),
    ('{"type": ["x"]}', "means nothing"),
    ('{"type": "response.create"}', "means nothing"),
    ('{"type": "session.update"}', "no session to update"),
    ('{"type": "session.update", "session": {"type": "realtime"}}', "it must be"),
    ('{"type": "session.update", "session": {"audio": []}}', "session.audio is"),
    *((json.dumps({"type": "session.update", "session": {"audio": {"input": new}}}), message) for new, message in (
        ({"transcription": {"model": "whisper-9"}}, "there is no model 'whisper-9'"),
        ({"transcription": {"model": 5}}, "transcription.model is '5'"),
        ({"transcription": "two"}, "must be an object"),
        ({"format": {"type": "audio/pcmu"}}, "format.type"),
        ({"format": {"rate": 1}}, "4000 to 192000 Hz"),
        ({"format": {"rate": True}}, "a whole number"),
        ({"turn_detection": {"type": "semantic_vad"}}, "server_vad"),
        ({"turn_detection": {"silence_duration_ms": -1}}, "200 to 10000 ms"),
        ({"turn_detection": {"prefix_padding_ms": 1e99}}, "0 to 1000 ms"),
    )),
    ('{"type": "input_audio_buffer.append"}', "must be a text in base64"),
    ('{"type": "input_audio_buffer.append", "audio": "\\u00e9"}', "no base64"),
    ('{"type": "input_audio_buffer.append", "audio": "A"}', "no base64"),
    (json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 400_000}), "send 200000 at most"),
    ('{"type": "input_audio_buffer.commit"}', "0 ms of sound"),
]  # fmt: skip


def test_what_cannot_be_obeyed_changes_nothing(service: Running) -> None:
    """Every wrong event gets an error that names it, and the session goes on."""

    async def work() -> None:
        async with raw_session(service) as socket:
            before = json.loads(await socket.recv())["session"]
            for content, message in WRONG:
                await socket.send(content)
                told = json.loads(await socket.recv())
                EVENT.validate_python(told)
                assert told["type"] == "error" and message in told["error"]["message"], (content, told)
            changing_nothing = {
                "include": ["x"],
                "other": 1,
                "audio": {"input": {"transcription": {"model": "whisper-1"}}},
            }
            await socket.send(json.dumps({"type": "session.update", "session": changing_nothing}))
            assert json.loads(await socket.recv())["session"] == before
            for message in (0, 1):  # a session that has nothing to do ends after a stated time
                if message == 0:
                    assert "no message came for 5 s" in json.loads(await socket.recv())["error"]["message"]
            await socket.wait_closed()
            assert socket.close_code == 1008
        for query, message in (
            ("?intent=conversation", "transcription sessions only"),
            ("?model=gpt-9", "no model 'gpt-9'"),
        ):
            async with raw_session(service, query) as socket:
                assert message in json.loads(await socket.recv())["error"]["message"]
                await socket.wait_closed()

    run(work)


def test_the_older_shape(service: Running) -> None:
    async def work() -> None:
        async with raw_session(service, additional_headers={"OpenAI-Beta": "realtime=v1"}) as socket:
            created = json.loads(await socket.recv())
            assert created["type"] == "transcription_session.created"
            assert created["session"]["input_audio_format"] == "pcm16"
            session = {"input_audio_format": "pcm16", "input_audio_transcription": {"model": "two", "prompt": ""},
                       "turn_detection": {"type": "server_vad", "silence_duration_ms": 300}}  # fmt: skip
            await socket.send(json.dumps({"type": "transcription_session.update", "session": session}))
            updated = json.loads(await socket.recv())
            assert updated["type"] == "transcription_session.updated"
            assert updated["session"]["input_audio_transcription"]["model"] == "two"
            assert updated["session"]["turn_detection"]["silence_duration_ms"] == 300
            audio = base64.b64encode(at_24k(speech(1)).tobytes()[:199_000]).decode()
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            kinds = []
            while not kinds or not kinds[-1].endswith("completed"):
                kinds.append(json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))["type"])
            assert "conversation.item.created" in kinds and "conversation.item.added" not in kinds

    run(work)


def test_items_without_a_stream_fail_and_the_session_goes_on(service: Running) -> None:
    """Two streams may be open: the third client is told for its item, and has its turn later."""

    async def work() -> None:
        manual = {"audio": {"input": {"turn_detection": None}}}
        sockets = [await connect(f"ws://{service.address}/v1/realtime") for _ in range(3)]
        audio = base64.b64encode(bytes(48_000)).decode()
        for number, socket in enumerate(sockets, start=1):
            await socket.recv()
            await socket.send(json.dumps({"type": "session.update", "session": manual}))
            await socket.recv()
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            await service.streams(min(number, 2))
        for socket in (sockets[2], *sockets[:2], sockets[2]):
            if socket is sockets[2]:
                await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            await socket.send('{"type": "input_audio_buffer.commit"}')
        kinds: list[str] = []
        while len(kinds) < 2:
            told = json.loads(await asyncio.wait_for(sockets[2].recv(), PATIENCE))
            if told["type"].startswith(ITEM):
                kinds.append(told["type"])
                assert told["type"].endswith("completed") or told["error"]["code"] == "busy"
        assert kinds[0].endswith("failed")
        for socket in sockets:
            socket.transport.abort()

    run(work)


def test_deltas_are_told_once_and_join_to_the_text() -> None:
    deltas = Deltas()
    parts = [deltas.update([], text) for text in ("a", "a b", "a b c", "a b c", "a bc c d", "a bc c d")]
    assert parts == ["", "", "a", " b", "", ""]  # "b" was told before it changed: nothing more until the end
    assert deltas.rest("a bc c d") == ""
    deltas = Deltas()
    parts = [deltas.update(*now) for now in (([], "x y"), ([], "x y z"), (["x", "y"], "z"), (["x", "y"], "z"))]
    assert "".join([*parts, deltas.rest("x y z w")]) == "x y z w" and parts[2] == " y"
