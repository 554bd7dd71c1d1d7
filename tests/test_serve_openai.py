"""OpenAI's API: their own client against a real server, and errors in their shape."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from conftest import Served, served

import asr


@pytest.fixture(scope="module")
def server(serving_folder: Path) -> Iterator[Served]:
    with served(serving_folder / "two.onnx", serving_folder / "one.onnx") as running:
        yield running


@pytest.fixture
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_all_formats(client: openai.OpenAI, serving_folder: Path) -> None:
    path = serving_folder / "2.wav"
    expected = asr.load(serving_folder / "two.onnx").transcribe(path)
    assert expected.text

    def create(**options: object) -> Any:
        with path.open("rb") as file:
            return client.audio.transcriptions.create(file=file, **options)

    assert create(model="two").text == create(model="whisper-1").text == expected.text
    assert create(model="two", response_format="text") == expected.text + "\n"
    for name in ("srt", "vtt"):
        file = serving_folder / f"expected.{name}"
        expected.save(file)
        assert create(model="two", response_format=name) == file.read_text()
    options = {"model": "two", "response_format": "verbose_json", "language": "kr"}
    both = create(**options, timestamp_granularities=["word", "segment"])
    assert both.duration == round(expected.duration, 3) and both.language == "kr"
    assert [word.word for word in both.words] == [word.text for word in expected.words]
    (segment, *_), fields = both.segments, type(both.segments[0]).model_fields
    assert len(fields) == 10 and set(segment.model_dump()) == set(fields)
    assert segment.start == round(expected.segments[0].start, 3) and segment.avg_logprob < 0
    assert create(**options).words is None
    assert create(**options, timestamp_granularities=["word"]).segments is None


def test_streaming(client: openai.OpenAI, serving_folder: Path) -> None:
    path = serving_folder / "2.wav"
    events: list[Any] = list(client.audio.transcriptions.create(model="two", file=path, stream=True))
    *deltas, done = events
    assert [event.type for event in events] == ["transcript.text.delta"] * len(deltas) + ["transcript.text.done"]
    assert "".join(event.delta for event in deltas) == done.text
    assert done.text == asr.load(serving_folder / "two.onnx").transcribe(path).text
    with pytest.raises(openai.BadRequestError, match=r"none\.wav"):  # before the first event: a status, no event
        client.audio.transcriptions.create(model="two", file=serving_folder / "none.wav", stream=True)


def test_keywords_and_prompts(client: openai.OpenAI, serving_folder: Path) -> None:
    """Keywords and lists favour words; a sentence, and a word that the model cannot spell, are no error in a prompt."""
    model = asr.load(serving_folder / "two.onnx")
    for path in (serving_folder / f"{number}.wav" for number in range(40)):
        plain, biased = model.transcribe(path).text, model.transcribe(path, hotwords=["cab", "bé"]).text
        if plain != biased:
            break
    assert plain != biased
    for keywords in ("cab,bé", "cab\nbé", '["cab", "bé"]', ["cab", "bé"]):
        found = client.audio.transcriptions.create(model="two", file=path, extra_body={"keywords": keywords})
        assert found.text == biased
    for prompt, expected in (("cab, bé", biased), ("A bac was a cab.", plain), ("cab, Дом", plain)):
        assert client.audio.transcriptions.create(model="two", file=path, prompt=prompt).text == expected
    with pytest.raises(openai.BadRequestError, match=r"U\+0414"):
        client.audio.transcriptions.create(model="two", file=path, extra_body={"keywords": "Дом"})


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["two", "one"]
    assert client.models.retrieve("one").created > 1_600_000_000
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("three")
    assert error.value.code == "model_not_found" and error.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path", "data", "status", "code"),
    [
        ("POST", "/v1/audio/transcriptions", {"model": "three"}, 404, "model_not_found"),
        ("POST", "/v1/audio/transcriptions", {"response_format": "mp3"}, 400, "invalid_value"),
        ("POST", "/v1/audio/transcriptions", {"stream": "perhaps"}, 400, "invalid_value"),
        ("POST", "/v1/audio/transcriptions", {"timestamp_granularities[]": "letter"}, 400, "invalid_value"),
        ("POST", "/v1/audio/translations", {}, 404, "not_found"),
        ("GET", "/v1/audio/transcriptions", None, 405, "method_not_allowed"),
        ("DELETE", "/v1/models/two", None, 405, "method_not_allowed"),
        ("GET", "/../../etc/passwd", None, 404, "not_found"),
    ],
)
def test_errors_have_their_shape(
    server: Served, serving_folder: Path, method: str, path: str, data: dict[str, str] | None, status: int, code: str
) -> None:
    files = {"file": ("a.wav", (serving_folder / "0.wav").read_bytes())} if data is not None else None
    found = server.request(method, path, data=data, files=files)
    assert found.status_code == status
    error = found.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["code"] == code


def test_fields_that_are_not_known_are_ignored(server: Served, serving_folder: Path) -> None:
    fields = {"model": "two", "temperature": "0.3", "chunking_strategy": "auto", "include[]": "logprobs", "x": "y"}
    files = [("file", (serving_folder / "0.wav").open("rb")), ("other", ("b", b"123"))]
    found = server.post("/v1/audio/transcriptions", data=fields, files=files)
    assert found.status_code == 200 and "text" in json.loads(found.text)
