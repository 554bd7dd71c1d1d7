"""Recordings as people have them: each case is read whole by every reader, or refused with the reason.

The cases are made by two programs that lie in ../shared/cases beside the checkout; without them, the tests are skipped.
"""

import contextlib
import io
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import REPOSITORY

from asr.audio import load_audio
from asr.corpus.check_audio import inspect_file
from asr.errors import AudioError

CASES = REPOSITORY.parent / "shared" / "cases"
RATE = 16000
ONE, OTHER, LONG = 1.7, 1.2, 1.7 + 19 * 1.2 + 20 * 0.25  # seconds of the first recording, of the others, of all joined
# Pattern of names, seconds that are read. The first pattern that fits counts.
WHOLE = {
    r"zoo/chained\.ogg": ONE + OTHER,
    r"zoo/(v2\.ogg|o2\.opus)": OTHER,
    r"zoo/(one_sample|ms10|ms100)\.wav": None,
    r"zoo2/cat\.mp3": ONE + LONG,
    r"zoo2/cat_noxing\.mp3": 2 * LONG,
    r"zoo2/cat\.(flac|wav)": 2 * ONE,
    r"zoo2/(noxing_)?long.*": LONG,
    r"zoo2?/.*": ONE,
}
REFUSED = {
    r"zoo/(rf64_trunc\.wav|w64_trunc\.w64|mp3_trunc\.mp3|trunc_.*)|zoo2/trunc_.*": "truncated: .*--salvage|nothing can",
    r"zoo/(empty|sub_MPEG_LAYER_III)\.wav": "is empty",
    r"zoo/(header|rate0)\.wav": "header",
    r"zoo/rate1\.wav": "1 Hz",
    r"zoo/(nan|inf)\.wav": "not a finite number",
    r"zoo/html\.wav": "HTML page",
    r"zoo/lfs\.wav": "git lfs pull",
    r"zoo/text\.wav": "is not a recording",
}
SALVAGED = {r"zoo2/trunc_longo\.opus": 0.59, r"zoo2/trunc_long\.(flac|mp3)": 0.6, r"zoo/rf64_trunc\.wav": 0.5}


def first_fit(table: dict[str, object], name: str) -> object:
    return next((value for pattern, value in table.items() if re.fullmatch(pattern, name)), None)


def speech_like(seconds: float, seed: int) -> np.ndarray:
    """Return a chirp `(N,)` of a level that changes slowly, peak 0.06, as loud as the recordings of the demo."""
    time = np.arange(round(seconds * RATE)) / RATE
    sound = np.sin(2 * np.pi * (200 + 50 * seed + 300 * time) * time) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))
    noise = np.random.default_rng(seed).normal(0, 0.01, len(time))
    result: np.ndarray = 0.06 * (sound + noise)
    return result


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Make all cases from a folder like the test recordings of the demo; return them by folder and name."""
    if not (CASES / "make_audio.py").is_file():
        pytest.skip(f"the cases are not in {CASES}")
    demo, out = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("cases")
    for number in range(20):
        soundfile.write(demo / f"{number:04}.wav", speech_like(OTHER if number else ONE, number), RATE)
    before = sys.argv
    try:
        for script in ("make_audio.py", "make_audio_long.py"):
            sys.argv = [script, str(demo), str(out)]
            with contextlib.redirect_stdout(io.StringIO()):
                runpy.run_path(str(CASES / script))
    finally:
        sys.argv = before
    yield {f"{path.parent.name}/{path.name}": path for path in sorted(out.rglob("*.*"))}


def test_every_case_is_read_whole_or_refused_with_the_reason(recordings: dict[str, Path]) -> None:
    wrong = []
    for name, path in recordings.items():
        reason = first_fit(REFUSED, name)
        expected = first_fit(WHOLE, name)
        (inspection,) = inspect_file(path, [(0.0, None)])
        try:
            seconds = len(load_audio(path, RATE, channel=1)) / RATE
        except AudioError as error:
            if reason is None or not re.search(str(reason), str(error)) or inspection.figures is not None:
                wrong.append(f"{name}: {error}")
            continue
        if reason is not None:
            wrong.append(f"{name}: was read, {seconds:.2f} s")
        elif inspection.figures is None or abs(inspection.figures.duration - seconds) > 0.01:
            wrong.append(f"{name}: loading gives {seconds:.2f} s, checking {inspection}")
        elif isinstance(expected, float) and abs(seconds - expected) > 0.2:  # MP3 pads each stream
            wrong.append(f"{name}: {seconds:.2f} s, expected {expected:.2f} s")
    assert not wrong
    assert len(recordings) > 110


def test_salvage_reads_what_is_there(recordings: dict[str, Path]) -> None:
    names = [name for name in recordings if first_fit(SALVAGED, name)]
    assert len(names) == 4
    for name in names:
        whole = LONG if name.startswith("zoo2") else ONE
        share = len(load_audio(recordings[name], RATE, salvage=True)) / RATE / whole
        assert share == pytest.approx(first_fit(SALVAGED, name), abs=0.05), name


def test_level_and_channels(recordings: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    """A quiet float recording keeps its resolution, and channels that cancel each other are named with the cure."""
    loud = load_audio(recordings["zoo/fmt.flac"], RATE)
    quiet = load_audio(recordings["zoo2/quiet_0.003.wav"], RATE)
    assert np.corrcoef(loud, quiet)[0, 1] > 0.9999
    assert "very quiet; raised by" in caplog.text
    load_audio(recordings["zoo/ch2_anti.wav"], RATE)
    assert "its channels cancel each other in the average; choose one: --channels 1" in caplog.text
