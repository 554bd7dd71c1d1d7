"""The folder of `asr serve --data`: ids that never lead out of it, the list, uploads, sound, waveforms."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asr.errors import AsrError, AudioError
from asr.serving.workspace.landing import land
from asr.serving.workspace.listing import listed
from asr.serving.workspace.paths import NotThereError, TakenError, Workspace
from asr.serving.workspace.playable import playable, seekable
from asr.serving.workspace.waveform import part, peaks

RATE = 8000  # Hz
HOSTILE = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(
            ["..", ".", "", "a.wav", "in", "out", "loop", "C:", "\\", "~", ".asr", "x" * 300, "é", "e\u0301"]
        ),
        max_size=6,
    ).map("/".join),
    st.text(alphabet="./\\\0a%2e", max_size=20),
)


def sine(seconds: float, rate: int = RATE, hertz: float = 300.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Return a folder with a recording, beside a folder with a secret, to which links lead."""
    root, outside = tmp_path / "data", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    soundfile.write(outside / "secret.wav", sine(0.5), RATE)
    soundfile.write(root / "a.wav", sine(2), RATE)
    (root / "in").mkdir()
    (root / "in" / "link.wav").symlink_to(root / "a.wav")
    (root / "out").symlink_to(outside)
    (root / "stolen.wav").symlink_to(outside / "secret.wav")
    (root / "loop").symlink_to(root / "loop")
    return Workspace(root)


@given(name=HOSTILE)
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_id_leads_out_of_the_folder(workspace: Workspace, name: str) -> None:
    try:
        path = workspace.resolve(name)
    except NotThereError as error:
        assert "\n" not in str(error)
        return
    assert path.resolve().is_relative_to(workspace.root.resolve())
    assert not any(part.startswith(".") for part in path.relative_to(workspace.root).parts)


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../outside/secret.wav", "in/../../outside/secret.wav", "out/secret.wav", "stolen.wav",
     "loop/a.wav", "a.wav\0", "a\\b.wav", ".asr/lock", "in/.hidden.wav", "a.wav/", "./a.wav", "x" * 5000, "\udcff.wav",
     "a.wav/b.wav", "in", "a.txt", "b.wav"],
)  # fmt: skip
def test_what_is_no_recording_of_the_folder_is_refused(workspace: Workspace, name: str) -> None:
    with pytest.raises(NotThereError):
        workspace.recording(name)


def test_links_inside_the_folder_are_followed(workspace: Workspace) -> None:
    assert workspace.recording("in/link.wav").resolve() == workspace.root / "a.wav"


def test_list_names_what_cannot_be_used(workspace: Workspace) -> None:
    soundfile.write(workspace.root / "in" / "ngā kōrero 1.flac", sine(1), RATE)
    (workspace.root / "empty.wav").touch()
    (workspace.root / "text.mp3").write_text("<html>no such page")
    (workspace.root / ".hidden.wav").write_bytes(b"RIFF")
    (workspace.root / ".trash").mkdir()
    soundfile.write(workspace.root / ".trash" / "b.wav", sine(1), RATE)
    os.mkfifo(workspace.root / "pipe.wav")
    Path(os.fsdecode(os.fsencode(workspace.root) + b"/bad\xff.wav")).write_bytes(b"RIFF")
    found = {one.id: one for one in listed(workspace)}
    assert list(found) == ["a.wav", "bad\\xff.wav", "empty.wav", "pipe.wav", "stolen.wav", "text.mp3",
                           "in/link.wav", "in/ngā kōrero 1.flac"]  # fmt: skip
    assert found["a.wav"].error is None and found["a.wav"].duration == 2.0 and found["a.wav"].state == "new"
    assert found["in/ngā kōrero 1.flac"].duration == 1.0
    for name, words in {
        "bad\\xff.wav": "not UTF-8",
        "empty.wav": "0 bytes",
        "pipe.wav": "pipe",
        "stolen.wav": "leads out",
        "text.mp3": "HTML",
    }.items():
        error = found[name].error or ""
        assert words in error and error.startswith(name), name  # not the path of the folder


def test_uploads_land_whole_and_never_on_another_recording(workspace: Workspace, tmp_path: Path) -> None:
    new, other = tmp_path / "new", tmp_path / "other"
    soundfile.write(new, sine(1), RATE, format="WAV")
    soundfile.write(other, sine(1, hertz=200.0), RATE, format="WAV")
    assert land(workspace, [("mōrena.wav", new)], "kōrero/tahi") == ["kōrero/tahi/mōrena.wav"]
    landed = workspace.recording("kōrero/tahi/mōrena.wav")
    assert landed.read_bytes() == new.read_bytes()
    decomposed = unicodedata.normalize("NFD", "mōrena.wav")
    assert land(workspace, [(decomposed, new)], "kōrero/tahi") == ["kōrero/tahi/mōrena.wav"]
    before = sorted(workspace.root.rglob("*"))
    for names in ([("b.wav", new), ("mōrena.wav", other)], [("b.wav", new), ("b.wav", other)]):
        with pytest.raises(TakenError, match="another recording has this name"):
            land(workspace, names, "kōrero/tahi")
    assert sorted(workspace.root.rglob("*")) == before and landed.read_bytes() == new.read_bytes()


@pytest.mark.parametrize(
    ("name", "folder"),
    [("a.exe", ""), ("recording", ""), (".wav", ""), (".a.wav", ""), ("b.wav", "../outside"), ("b.wav", "out"),
     ("b.wav", ".asr"), ("b\n.wav", ""), ("x/b.wav", ""), ("..\\b.wav", ""), ("x" * 300 + ".wav", "")],
)  # fmt: skip
def test_upload_with_an_impossible_name_is_refused(workspace: Workspace, tone: Path, name: str, folder: str) -> None:
    before = sorted(workspace.root.parent.rglob("*"))
    with pytest.raises(AsrError, match=r"name|suffix"):
        land(workspace, [(name, tone)], folder)
    assert sorted(workspace.root.parent.rglob("*")) == [*before]


@pytest.mark.parametrize("suffix", ["wav", "mp3", "flac", "ogg"])
def test_waveform_has_the_extremes_of_the_samples(tmp_path: Path, suffix: str) -> None:
    workspace = Workspace(tmp_path)
    loud = np.where((np.arange(70 * RATE) // RATE) % 7 == 3, 0.8, 0.1)  # each seventh second is loud
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, sine(70) * 2 * loud, RATE)
    low, high = peaks(workspace, path, 70)
    for second in range(70):
        expected = 0.8 if second % 7 == 3 else 0.1
        edge = 0.75 if second % 7 in (2, 4) and suffix == "mp3" else 0.05  # MP3 smears a little over the edge
        assert abs(high[second] - expected) < edge and abs(low[second] + expected) < edge
    assert peaks(workspace, path, 70) == (low, high)  # from the file that keeps them
    fine = peaks(workspace, path, 400, 3.2, 3.8)
    assert max(fine[1]) == pytest.approx(0.8, abs=0.05) and len(fine[0]) == 400
    assert peaks(workspace, path, 3, 69.0, 99.0)[1][1:] == [0.0, 0.0]  # after the end


def test_waveform_survives_damaged_and_unwritable_caches(workspace: Workspace) -> None:
    path = workspace.root / "a.wav"
    expected = peaks(workspace, path, 10)
    (cache,) = workspace.hidden("peaks").iterdir()
    cache.write_bytes(cache.read_bytes()[:50])
    assert peaks(workspace, path, 10) == expected
    cache.write_bytes(b"\x80\x04junk")  # a pickle is never loaded
    assert peaks(workspace, path, 10) == expected
    soundfile.write(path, 0.1 * sine(2), RATE)  # another recording of the same name and size
    os.utime(path, (1, 1))
    assert max(peaks(workspace, path, 10)[1]) == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize(
    ("start", "end"), [(-1, 1), (1, 1), (2, 1), (0, 61), (float("nan"), 1), (0, float("inf")), (0, float("nan"))]
)
def test_impossible_parts_are_refused(workspace: Workspace, start: float, end: float) -> None:
    with pytest.raises(AsrError, match="name a part"):
        part(workspace, workspace.root / "a.wav", start, end)
    if end != 61:
        with pytest.raises(AsrError, match="name a part"):
            peaks(workspace, workspace.root / "a.wav", 10, start, end)
    with pytest.raises(AsrError, match="columns"):
        peaks(workspace, workspace.root / "a.wav", 10**9)


def test_part_is_the_sound_of_its_time(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    steps = np.repeat(np.linspace(0.1, 0.8, 90), RATE) * sine(90) * 2  # louder each second
    for name in ("a.wav", "a.mp3"):
        soundfile.write(tmp_path / name, steps, RATE)
        for second in (0, 44, 88):
            (tmp_path / "part.wav").write_bytes(part(workspace, tmp_path / name, second + 0.2, second + 0.8))
            samples, rate = soundfile.read(tmp_path / "part.wav")
            assert rate == 16000 and len(samples) == 9600
            assert np.abs(samples).max() == pytest.approx(np.linspace(0.1, 0.8, 90)[second], abs=0.02), name
    assert seekable(workspace, tmp_path / "a.wav") == tmp_path / "a.wav"
    assert seekable(workspace, tmp_path / "a.mp3").suffix == ".wav"


def test_what_browsers_cannot_play_becomes_wav(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for name, subtype in {"a.wav": "PCM_24", "a.ogg": None, "a.aiff": None, "b.wav": "IMA_ADPCM", "a.au": None}.items():
        soundfile.write(tmp_path / name, sine(1), RATE, subtype=subtype)
        path, media = playable(workspace, tmp_path / name)
        assert (path == tmp_path / name) == (name in ("a.wav", "a.ogg"))
        assert media == ("audio/ogg" if name == "a.ogg" else "audio/wav")
        assert soundfile.info(path).duration == pytest.approx(1.0, abs=0.05)
    (tmp_path / "c.aiff").write_bytes(b"no sound")
    with pytest.raises(AudioError, match="not a recording"):
        playable(workspace, tmp_path / "c.aiff")
