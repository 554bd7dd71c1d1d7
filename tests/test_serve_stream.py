"""`WS /v1/stream`: what a stream of the library gives, and clients that do what they should not."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PATIENCE
from live_service import RATE, Running, run, running, speech
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import asr
from asr.recognition.turn_stream import open_stream
from asr.serving.errors import ServiceError
from asr.serving.live.pcm import Samples
from asr.transcript import word_row

KEY = "a-key-of-thirty-two-characters.x"
LIMITS = {"streams": 4, "sockets": 60, "first": 5.0, "silent": 5.0, "idle": 2.0, "block": 64_000, "words": 3}


@pytest.fixture(scope="module")
def service(live_folder: Path) -> Iterator[Running]:
    with running(live_folder, limits={**LIMITS, "words": 100_000}) as started:
        yield started


@asynccontextmanager
async def stream(service: Running, query: str = "", **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://{service.address}/v1/stream{query}", **options) as socket:
        yield socket


async def start(socket: ClientConnection, **fields: object) -> dict[str, Any]:
    await socket.send(json.dumps({"sample_rate": RATE, **fields}))
    return json.loads(await socket.recv())


async def send(socket: ClientConnection, *blocks: bytes) -> None:
    """Send blocks to a service that may close the connection at any of them."""
    with suppress(ConnectionClosed):
        for block in blocks:
            await socket.send(block)


async def rest(socket: ClientConnection) -> list[dict[str, Any]]:
    """Return the messages up to the end of the connection."""
    messages = []
    try:
        while True:
            messages.append(json.loads(await asyncio.wait_for(socket.recv(), PATIENCE)))
    except ConnectionClosed:
        return messages


async def transcribed(service: Running, blocks: list[bytes], **fields: object) -> list[dict[str, Any]]:
    async with stream(service) as socket:
        ready = await start(socket, **fields)
        assert ready["type"] == "ready", ready
        for block in blocks:
            await socket.send(block)
        await socket.send('{"type": "finish"}')
        messages = await rest(socket)
        assert socket.close_code == 1000
        return messages


def blocks_of(samples: np.ndarray, size: int) -> list[np.ndarray]:
    return [samples[begin : begin + size] for begin in range(0, len(samples), size)]


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_stream_gives_what_the_library_gives(service: Running, live_folder: Path, name: str) -> None:
    """Partial and final words, times and confidences, at equal blocks; the same text at other blocks and formats."""
    samples = speech()
    blocks = blocks_of(samples, 1000)
    messages = run(lambda: transcribed(service, [block.tobytes() for block in blocks], model=name))
    expected = open_stream(asr.load(live_folder / f"{name}.onnx"), RATE)
    updates = [expected.feed(block) for block in blocks]
    whole = expected.finish()
    words = [word_row(word) for word in whole.words]
    assert messages[-1] == {"type": "done", "reason": "finished", "transcript": whole.to_dict()}
    finals = [message for message in messages if message["type"] == "final"]
    assert [word for final in finals for word in final["words"]] == words and len(words) >= 3
    assert all(final["text"] == " ".join(word["text"] for word in final["words"]) for final in finals)
    assert all(
        (final["start"], final["end"]) == (final["words"][0]["start"], final["words"][-1]["end"]) for final in finals
    )
    told = [words for words, _ in updates if words]
    assert len(told) >= 2 and [len(final["words"]) for final in finals][: len(told)] == [len(words) for words in told]
    partials = [partial for _, partial in updates]
    changed = [text for before, text in zip(["", *partials], partials, strict=False) if text and text != before]
    assert [message["text"] for message in messages if message["type"] == "partial" and message["text"]] == changed
    assert bool(changed) == (name == "one")
    odd = [samples.tobytes()[begin : begin + 1777] for begin in range(0, 2 * len(samples), 1777)]
    floats = [(block / 32768).astype("<f4").tobytes() for block in blocks_of(samples, 12345)]
    for parts, form in ((odd, "pcm16"), (floats, "f32")):
        assert run(lambda p=parts, f=form: transcribed(service, p, model=name, format=f))[-1] == messages[-1]


def test_the_first_message_says_what_to_expect(service: Running) -> None:
    async def work() -> None:
        async with stream(service, "?sample_rate=48000&model=two") as socket:
            ready = json.loads(await socket.recv())
            assert (ready["model"], ready["streaming"], ready["sample_rate"]) == ("two", False, 48000)
            assert "at pauses" in ready["latency"] and ready["limits"]["block_bytes"] == LIMITS["block"]
        async with stream(service) as socket:
            ready = await start(socket)
            assert (ready["model"], ready["streaming"], ready["format"]) == ("one", True, "pcm16")
            assert ready["latency"].startswith("a frame every")
            await socket.send('{"type": "ping"}')
            assert json.loads(await socket.recv()) == {"type": "pong"}
            await socket.send('{"type": "finish"}')
            (done,) = await rest(socket)
            assert done["transcript"]["text"] == "" and done["transcript"]["duration"] == 0

    run(work)


FIRST = [
    (b"\0\0" * 800, "a text message with JSON is expected"),
    ("{", "no JSON"),
    ("[" * 50_000, "no JSON"),
    ("[1]", "is list, it must be an object"),
    ("{}", "sample_rate: Field required"),
    ('{"sample_rate": 0}', "it must be 4000 to 192000 Hz"),
    ('{"sample_rate": 1e9}', "it must be 4000 to 192000 Hz"),
    ('{"sample_rate": -8000}', "it must be 4000 to 192000 Hz"),
    ('{"sample_rate": 16000.5}', "sample_rate: "),
    ('{"sample_rate": NaN}', "sample_rate: "),
    ('{"sample_rate": 16000, "model": "../two"}', "there is no model"),
    ('{"sample_rate": 16000, "format": "mp3"}', "format: "),
    ('{"sample_rate": 16000, "encoding": "f32"}', "encoding: "),
    ('{"sample_rate": 16000, "type": "finish"}', "type: "),
]
LATER: list[tuple[dict[str, str], str | bytes, str, str, int]] = [
    ({}, "{", "no JSON", "invalid_json", 1008),
    ({}, '{"type": "stop"}', "after the first come binary blocks", "invalid_message", 1008),
    ({}, b"\0" * 64_001, "send 64000 at most", "request_too_large", 1009),
    (
        {"format": "f32"},
        np.array([0, np.nan], "<f4").tobytes(),
        "sample 1 is not a finite number",
        "invalid_audio",
        1008,
    ),
    ({"format": "f32"}, np.array([np.inf] * 9, "<f4").tobytes(), "sample 0 is not", "invalid_audio", 1008),
]


def test_what_is_wrong_is_named_and_costs_nothing(service: Running) -> None:
    async def work() -> None:
        for content, message in FIRST:
            async with stream(service) as socket:
                await socket.send(content)
                (told,) = await rest(socket)
                assert message in told["error"]["message"], content
                assert told["type"] == "error" and set(told["error"]) == {"message", "type", "param", "code"}
                assert socket.close_code == 1008
        for fields, content, message, code, closed in LATER:
            async with stream(service) as socket:
                assert (await start(socket, **fields))["type"] == "ready"
                await socket.send(content)
                (told,) = await rest(socket)
                assert message in told["error"]["message"] and told["error"]["code"] == code
                assert socket.close_code == closed
        async with stream(service) as socket:
            await start(socket)
            await send(socket, bytes(300_000))  # over the largest frame: the connection ends before it is read
            assert await rest(socket) == [] and socket.close_code == 1009
        loud = np.array([1e30, -1e30, 3, -3] * 2000, "<f4")
        (done,) = [m for m in await transcribed(service, [loud.tobytes()], format="f32") if m["type"] == "done"]
        assert done["transcript"]["duration"] == 1

    run(work)


def test_an_address_without_sockets_is_named(service: Running) -> None:
    async def work() -> None:
        for path in ("/v1/nothing", "/", "/health"):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://{service.address}{path}")
            assert refused.value.response.status_code == 404
            assert json.loads(refused.value.response.body or b"")["error"]["code"] == "not_found"

    run(work)


def test_streams_are_bounded_and_given_back(service: Running) -> None:
    """Clients that vanish, with and without a word, leave room for others."""

    async def work() -> None:
        for _ in range(3):
            sockets, answers = [], []
            for _ in range(5):
                sockets.append(await connect(f"ws://{service.address}/v1/stream"))
                answers.append(await start(sockets[-1]))
            assert [answer["type"] for answer in answers] == ["ready"] * 4 + ["error"]
            assert answers[-1]["error"]["code"] == "busy" and "4 streams are open" in answers[-1]["error"]["message"]
            for socket in sockets[:4]:
                await socket.send(speech(1)[:3001].tobytes())
                socket.transport.abort()  # as a cable that is pulled
            await service.streams(0)
        assert (await transcribed(service, [speech(1).tobytes()[:60_000]]))[-1]["type"] == "done"

    run(work)


def test_sockets_that_say_nothing_are_closed(service: Running) -> None:
    async def work() -> None:
        silent = await asyncio.gather(*(connect(f"ws://{service.address}/v1/stream") for _ in range(60)))
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{service.address}/v1/stream")
        assert refused.value.response.status_code == 503
        assert json.loads(refused.value.response.body or b"")["error"]["code"] == "busy"
        for messages in await asyncio.gather(*map(rest, silent)):
            assert [message["error"]["code"] for message in messages] == ["idle"]
        assert {socket.close_code for socket in silent} == {1008}
        async with stream(service) as socket:  # there is room again
            await start(socket)
            for _ in range(12):  # longer than a socket may be silent: silence is sound
                await asyncio.sleep(0.5)
                await socket.send(bytes(800))
            await socket.send('{"type": "finish"}')
            assert (await rest(socket))[-1]["transcript"]["duration"] == pytest.approx(0.6)
        async with stream(service) as socket:
            await start(socket)
            (told,) = await rest(socket)
            assert "no message came for 5 s" in told["error"]["message"]

    run(work)


def test_memory_does_not_grow_with_the_length_of_a_stream(service: Running) -> None:
    """Noise without a pause, speech and silence in hundreds of blocks."""
    noise = (np.random.default_rng(0).standard_normal(10 * RATE) * 3000).astype(np.int16)
    sound = [block.tobytes() for block in blocks_of(np.concatenate([noise, speech(2), noise * 0]), 800)]

    async def stream_of(name: str, times: int) -> None:
        async with stream(service, ping_interval=None) as socket:
            assert (await start(socket, model=name))["type"] == "ready"
            reading = asyncio.create_task(rest(socket))
            for block in sound * times:
                await socket.send(block)
            await socket.send('{"type": "finish"}')
            assert (await reading)[-1]["type"] == "done"

    async def work() -> None:
        for name, most in (("one", 3e6), ("two", 20e6)):  # bytes; ONNX Runtime keeps memory for each length of turns
            await stream_of(name, 1)
            before = service.memory()
            await stream_of(name, 4)
            assert service.memory() - before < most

    run(work)


def test_a_model_process_that_dies_fails_its_streams_only(service: Running) -> None:
    async def work() -> None:
        async with stream(service) as socket:
            await start(socket)
            await socket.send(bytes(1600))
            os.kill(service.worker(), signal.SIGKILL)
            await send(socket, bytes(1600))
            told = (await rest(socket))[-1]
            assert told["error"]["code"] in ("worker_lost", "busy") and socket.close_code in (1011, 1013)
        while True:  # until the model process is replaced
            async with stream(service) as socket:
                if (await start(socket))["type"] == "ready":
                    return
            await asyncio.sleep(0.3)

    run(work)


def test_keys_pages_and_the_limit_of_words(live_folder: Path) -> None:
    samples = speech(8, pause=1.5).tobytes()
    with running(live_folder, limits=LIMITS, keys=(KEY,), origins=("https://friend.example",)) as service:

        async def work() -> None:
            protocols = ["asr", "openai-insecure-api-key.wrong"]
            for options in ({}, {"additional_headers": {"Authorization": "Bearer no"}}, {"subprotocols": protocols}):
                with pytest.raises(InvalidStatus) as refused:
                    async with stream(service, **options):
                        pass
                assert refused.value.response.status_code == 401
                assert json.loads(refused.value.response.body or b"")["error"]["code"] == "invalid_api_key"
            headers = {"Authorization": f"Bearer {KEY}"}
            with pytest.raises(InvalidStatus) as refused:  # CORS does not keep a page from opening sockets
                async with stream(service, additional_headers=headers, origin="https://foe.example"):
                    pass
            assert refused.value.response.status_code == 403
            async with stream(service, additional_headers=headers, origin="https://friend.example") as socket:
                assert (await start(socket))["type"] == "ready"
            async with stream(service, additional_headers=headers) as socket:
                await start(socket)
                await send(socket, *(samples[begin : begin + 16_000] for begin in range(0, len(samples), 16_000)))
                done = (await rest(socket))[-1]
                assert done["type"] == "done" and done["reason"].startswith("3 words")
                assert len(done["transcript"]["words"]) >= 3

        run(work)


def test_pcm_is_read_at_any_division() -> None:
    generator = np.random.default_rng(0)
    whole = generator.integers(-32768, 32768, 999).astype("<i2")
    floats = (generator.standard_normal(999) * 0.5).astype("<f4")
    grid = np.clip(np.round(floats.clip(-1, 1) * 32768), -32768, 32767).astype(np.int16)
    for form, content, expected in (("pcm16", whole.tobytes(), whole), ("f32", floats.tobytes(), grid)):
        for size in (1, 2, 3, 7, 100, 10_000):
            samples = Samples(form)  # type: ignore[arg-type]
            parts = [samples(content[begin : begin + size]) for begin in range(0, len(content), size)]
            np.testing.assert_array_equal(np.concatenate(parts), expected)
            assert all(part.dtype == np.int16 for part in parts)
    samples = Samples("f32")
    samples(np.zeros(5, "<f4").tobytes())
    with pytest.raises(ServiceError, match="sample 7 is not"):
        samples(np.array([0, 1, -np.inf], "<f4").tobytes())
