"""The engine of the service: answers are those of the library, and processes that die are replaced."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PATIENCE
from oracles import random_waveforms

import asr
from asr.errors import AudioError, ModelFileError, TextError
from asr.serving.engine.engine import Engine
from asr.serving.engine.messages import Options, Progress
from asr.serving.errors import Busy, TimedOut, UnknownModel, WorkerLost
from asr.serving.limits import Limits

RATE = 8000


def run(folder: Path, work: Callable[[Engine], Awaitable[Any]], **options: Any) -> Any:
    """Run `work` with an engine, and stop the engine whatever happens."""

    async def main() -> Any:
        engine = Engine({"two": folder / "two.onnx", "one": folder / "one.onnx"}, **options)
        try:
            await engine.start()
            return await asyncio.wait_for(work(engine), 2 * PATIENCE)
        finally:
            await engine.stop()

    return asyncio.run(main())


async def until(done: Callable[[], bool]) -> None:
    """Wait until `done` returns True; `run` sets the limit."""
    while not done():
        await asyncio.sleep(0.01)


def test_answers_are_those_of_the_library(serving_folder: Path) -> None:
    """All at once, in batches, of both models, with options; each caller gets its own."""
    paths = [serving_folder / f"{number}.wav" for number in range(40)]
    progress: list[Progress] = []

    async def work(engine: Engine) -> Any:
        plain = [engine.transcribe(name, path) for path in paths for name in ("two", "one")]
        special = [
            engine.transcribe("two", paths[0], Options(nbest=3)),
            engine.transcribe("two", paths[1], Options(phrases=("ab", "cé a"))),
            engine.transcribe("two", paths[2], Options(hotwords=("ab",)), heard=progress.append),
            engine.transcribe("two", serving_folder / "stereo.wav", Options(channels="split")),
            engine.transcribe("two", serving_folder / "stereo.wav", Options(channels=2)),
        ]
        aligned = engine.align("two", paths[0], "ab a")
        return await asyncio.gather(asyncio.gather(*plain), asyncio.gather(*special), aligned)

    plain, special, aligned = run(serving_folder, work)
    models = [asr.load(serving_folder / f"{name}.onnx") for name in ("two", "one")]
    expected = [model.transcribe(path) for path in paths for model in models]
    assert len({one.text for one in expected}) > 30  # else crossed answers could not be seen
    assert [one.text for (one,) in plain] == [one.text for one in expected]
    assert [[w.start for w in one.words] for (one,) in plain] == [[w.start for w in one.words] for one in expected]
    model = models[0]
    assert [a.text for a in special[0][0].nbest] == [a.text for a in model.transcribe(paths[0], nbest=3).nbest]
    assert special[1][0].text == model.transcribe(paths[1], phrases=["ab", "cé a"]).text
    assert special[2][0].text == model.transcribe(paths[2], hotwords=["ab"]).text == "".join(p.text for p in progress)
    channels = [model.transcribe(serving_folder / "stereo.wav", channel=number) for number in (1, 2)]
    assert [one.text for one in special[3]] == [one.text for one in channels]
    assert [one.channel for one in special[3]] == [1, 2] and special[4][0].text == channels[1].text
    assert aligned.transcript.text == asr.align(model, paths[0], "ab a").transcript.text


def test_errors_reach_their_callers_only(serving_folder: Path) -> None:
    async def work(engine: Engine) -> Any:
        with pytest.raises(UnknownModel, match="there are two, one"):
            await engine.transcribe("three", serving_folder / "0.wav")
        with pytest.raises(TextError):
            await engine.transcribe("two", serving_folder / "0.wav", Options(phrases=("xyz",)))
        calls = [engine.transcribe("two", serving_folder / name) for name in ("0.wav", "none.wav", "1.wav")]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, broken, second = run(serving_folder, work)
    assert isinstance(broken, AudioError) and isinstance(first, list) and isinstance(second, list)


def test_a_process_that_dies_is_replaced(serving_folder: Path) -> None:
    """Recordings are tried again; one that kills each process that takes it fails, and a stream fails."""
    expected = asr.load(serving_folder / "two.onnx").transcribe(serving_folder / "0.wav").text

    async def work(engine: Engine) -> None:
        stream = await engine.open_stream("one", RATE)
        calls = [asyncio.ensure_future(engine.transcribe("two", serving_folder / "0.wav")) for _ in range(20)]
        await asyncio.sleep(0)
        (pid,) = engine.pids
        os.kill(pid, signal.SIGKILL)
        assert {found[0].text for found in await asyncio.gather(*calls)} == {expected}
        assert engine.pids != [pid] and engine.ready == 1
        with pytest.raises(WorkerLost):
            await stream.feed(np.zeros(800, np.int16))
        await stream.close()
        os.kill(engine.pids[0], signal.SIGSTOP)
        call = asyncio.ensure_future(engine.align("two", serving_folder / "1.wav", "a"))
        for _ in range(2):
            await until(lambda: engine.busy == 1)
            os.kill(engine.pids[0], signal.SIGKILL)
            await until(lambda: engine.busy == 0)
        with pytest.raises(WorkerLost):
            await call

    run(serving_folder, work)


def test_streams_answer_as_the_library(serving_folder: Path) -> None:
    """A model of one direction while sound comes, one of two directions at pauses; both at another rate too."""
    waves = random_waveforms(2, 3)
    sound = np.concatenate([part for wave in waves for part in (wave, np.zeros(RATE * 2, np.float32))])
    samples = (sound * 32767).astype(np.int16)
    blocks = [samples[start : start + 1000] for start in range(0, len(samples), 1000)]

    async def work(engine: Engine) -> Any:
        found = []
        for name in ("one", "two"):
            stream = await engine.open_stream(name, RATE)
            assert stream.info.streaming == (name == "one")
            words = [word for block in blocks for word in (await stream.feed(block))[0]]
            found.append((words, await stream.finish()))
        assert engine.streams == 0
        opened = [await engine.open_stream("one", 24000) for _ in range(3)]
        with pytest.raises(Busy, match="3 streams"):
            await engine.open_stream("one", RATE)
        with pytest.raises(AudioError):
            await opened[0].feed(np.zeros((2, 3, 4), np.int16))
        for stream in opened:
            await stream.close()
            await stream.close()
        return found

    (words, transcript), (paused, whole) = run(serving_folder, work, limits=Limits(streams=3))
    stream = asr.load(serving_folder / "one.onnx").stream(RATE)
    expected = [word for block in blocks for word in stream.feed(block).ended]
    assert words == expected and transcript == stream.finish()
    assert list(whole.words[: len(paused)]) == paused and len(paused) > 1
    starts = [sum(len(w) + 2 * RATE for w in waves[:index]) / RATE for index in range(3)]
    spoken = [(start - 0.5, start + len(wave) / RATE + 0.7) for start, wave in zip(starts, waves, strict=True)]
    assert all(any(start <= word.start <= end for start, end in spoken) for word in whole.words)


def test_limits(serving_folder: Path) -> None:
    """A full queue, a time limit and a call without one, a caller that goes away, a stop that ends what was taken."""
    path = serving_folder / "0.wav"
    patient, hasty = Limits(queue=4, timeout=PATIENCE), Limits(queue=4, timeout=0.5)

    async def work(engine: Engine) -> Any:
        def begin(count: int) -> list[asyncio.Future[Any]]:
            return [asyncio.ensure_future(engine.transcribe("two", path)) for _ in range(count)]

        async def is_late() -> None:
            engine.limits = hasty
            with pytest.raises(TimedOut, match=r"0\.5 s"):
                await engine.transcribe("two", path)
            engine.limits = patient

        (pid,) = engine.pids
        os.kill(pid, signal.SIGSTOP)
        try:
            await is_late()
            assert engine.busy == 1  # nobody waits for what the process has
            engine.limits = hasty
            calls = [asyncio.ensure_future(engine.transcribe("two", path, patient=True))]
            await until(lambda: engine.waiting == 1)
            engine.limits = patient
            calls += begin(3)
            await until(lambda: engine.waiting == 4)
            with pytest.raises(Busy, match="4 requests wait"):
                await engine.transcribe("two", path)
            calls.pop().cancel()
            await until(lambda: engine.waiting == 3)
            await is_late()
            assert engine.waiting == 3
        finally:
            os.kill(pid, signal.SIGCONT)
        found = [one.text for (one,) in await asyncio.gather(*calls)]
        await until(lambda: engine.busy == 0)
        os.kill(pid, signal.SIGSTOP)  # else the process could be done before the stop
        try:
            calls = begin(3)
            await until(lambda: engine.waiting + engine.busy == 3)
            stop = asyncio.ensure_future(engine.stop())
            await asyncio.sleep(0)  # now it waits for what was taken
        finally:
            os.kill(pid, signal.SIGCONT)
        await stop
        return found + [one.result()[0].text for one in calls]

    texts = run(serving_folder, work, limits=patient)
    assert texts == [asr.load(serving_folder / "two.onnx").transcribe(path).text] * 6


def test_models_are_added(serving_folder: Path) -> None:
    async def work(engine: Engine) -> Any:
        with pytest.raises(ModelFileError):
            await engine.add_model("bad", serving_folder / "0.wav")
        assert set(engine.models) == {"two", "one"}
        await engine.add_model("third", serving_folder / "one.onnx")
        os.kill(engine.pids[0], signal.SIGKILL)
        return await engine.transcribe("third", serving_folder / "3.wav")

    (transcript,) = run(serving_folder, work)
    assert transcript.text == asr.load(serving_folder / "one.onnx").transcribe(serving_folder / "3.wav").text
    with pytest.raises(ModelFileError, match=r"0\.wav"):
        asyncio.run(Engine({"bad": serving_folder / "0.wav"}).start())
