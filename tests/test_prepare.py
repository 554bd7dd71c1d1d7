"""Preparing a corpus: splits by hash that do not move, texts and recordings set aside, the report, and refusals."""

from pathlib import Path

import pytest
from layouts import sound, touch, write
from processes import run_asr

from asr.config import Config
from asr.corpus.amount import measure
from asr.corpus.config_file import choose_rate
from asr.corpus.manifest import read_manifest
from asr.corpus.prepare import Prepared, describe, divide, parse_fractions, prepare, splits_in
from asr.corpus.readers.files import SourceError
from asr.corpus.readers.reading import reading
from asr.corpus.split import split, top_up
from asr.utterance import Utterance


def make_corpus(folder: Path, count: int) -> None:
    for number in range(count):
        touch(folder / f"s{number % 30}_{number}.wav")
        write(folder / f"s{number % 30}_{number}.txt", f"text {number % 37}")


@pytest.mark.parametrize("by", ["id", "speaker", "text"])
def test_adding_data_moves_no_utterance(tmp_path: Path, by: str) -> None:
    source, pattern = tmp_path / "source", r"(?P<speaker>s\d+)_"
    make_corpus(source, 150)
    before = prepare(source, tmp_path / "before", by=by, pattern=pattern, fractions=[0.5, 0.25, 0.25]).manifests
    make_corpus(source, 300)
    after = prepare(source, tmp_path / "after", by=by, pattern=pattern, fractions=[0.5, 0.25, 0.25]).manifests
    assert list(before) == list(after) == ["train", "validation", "test"]
    for name, utterances in before.items():
        assert {u.id for u in utterances} < {u.id for u in after[name]}
    for key in ("speaker", "text"):
        seen = [{getattr(u, key) for u in utterances} for utterances in after.values()]
        assert (seen[0].isdisjoint(seen[1] | seen[2]) and seen[1].isdisjoint(seen[2])) is (by == key)


def test_manifests_are_what_was_read(tmp_path: Path) -> None:
    make_corpus(tmp_path / "source", 100)
    prepared = prepare(tmp_path / "source", tmp_path / "out" / "x")
    read_back = {name: read_manifest(tmp_path / "out" / "x" / f"{name}.jsonl") for name in prepared.manifests}
    assert read_back == prepared.manifests
    assert sum(map(len, read_back.values())) == 100
    expected = split([u for part in read_back.values() for u in part], (0.8, 0.1, 0.1))
    top_up(expected, 1, 20, lambda utterance: utterance.id)
    assert [{u.id for u in part} for part in expected] == [{u.id for u in part} for part in read_back.values()]


def utterances(count: int) -> list[Utterance]:
    return [Utterance(f"u{number}", Path("x.wav"), "x") for number in range(count)]


def test_given_splits_are_kept_and_fractions_take_from_train() -> None:
    given = {"train": utterances(200), "test": [Utterance("t", Path("t.wav"), "t")]}
    assert divide(given, None, "id") is given
    divided = divide(given, [0.9, 0.1], "id")
    assert list(divided) == ["test", "train", "validation"] and divided["test"] == given["test"]
    assert len(divided["train"]) + len(divided["validation"]) == 200
    with pytest.raises(SourceError, match="has its own test, which is kept"):
        divide(given, [0.8, 0.1, 0.1], "id")
    with pytest.raises(SourceError, match="but no train to divide"):
        divide({"test": given["test"]}, [0.9, 0.1], "id")
    with pytest.raises(SourceError, match="u0; use --by id or text"):
        divide({"": utterances(3)}, None, "speaker")


@pytest.mark.parametrize("count", range(1, 31))
def test_a_small_corpus_fills_every_split(count: int) -> None:
    with reading() as found:
        divided = divide({"": utterances(count)}, None, "id")
    assert list(divided) == ["train", "validation"][:count] and all(divided.values())
    assert sorted(u.id for part in divided.values() for u in part) == sorted(u.id for u in utterances(count))
    assert len(divided.get("validation", ())) >= count // 5
    said = " ".join(found.notes)
    assert "too few for train, validation and test" in said and ("1 utterance is" in said) == (count == 1)
    assert (count > 1) is ("asr train --folds 5" in said)


def test_a_growing_corpus_moves_nothing_from_train_to_test() -> None:
    """Utterances of validation may move, since no result is measured on them."""
    before: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    for count in range(60, 400, 20):
        with reading():
            divided = divide({"": utterances(count)}, None, "id")
        parts = {name: {u.id for u in divided.get(name, ())} for name in before}
        assert before["test"] <= parts["test"] and not before["train"] & parts["test"]
        assert count < 120 or before["train"] <= parts["train"]
        assert len(parts["validation"]) >= min(20, count // 5)
        assert (count < 100) is (not parts["test"])
        before = parts


def test_too_few_keys_for_the_splits_are_an_error_that_says_what_works() -> None:
    two = [Utterance(f"u{number}", Path("x.wav"), "x", speaker=f"s{number % 2}") for number in range(9)]
    with pytest.raises(SourceError, match=r"2 speakers cannot fill 3 splits .*; use --split 0.8,0.2, or --by id"):
        divide({"": two}, None, "speaker")
    assert [len({u.speaker for u in part}) for part in divide({"": two}, [0.8, 0.2], "speaker").values()] == [1, 1]
    with pytest.raises(SourceError, match=r"1 utterance cannot fill 2 splits \(train, validation\); use --split 1"):
        divide({"": utterances(1)}, [0.8, 0.2], "id")


def test_shares() -> None:
    assert parse_fractions("80,10,10") == [80, 10, 10] and parse_fractions("1") == [1]
    for wrong in ("", "0.8;0.2", "1,-1", "nan,1", "0,1", "1,1,1,1", "inf"):
        with pytest.raises(SourceError, match="must be shares of train"):
            parse_fractions(wrong)


def test_texts_and_recordings_without_their_partner_are_set_aside(tmp_path: Path) -> None:
    make_corpus(tmp_path / "in", 60)
    touch(tmp_path / "in" / "silent.wav", tmp_path / "in" / "empty.wav")
    write(tmp_path / "in" / "empty.txt", " \n")
    write(tmp_path / "in" / "lost.txt", "text")
    touch(tmp_path / "out" / "old.jsonl")
    done = run_asr("prepare", tmp_path / "in", "-o", tmp_path / "out")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "1 text has no recording" in done.stderr
    assert "recordings without a text: empty, silent" in done.stdout and "without a recording: lost" in done.stdout
    assert "old.jsonl not from this run" in done.stdout
    assert [u.id for u in read_manifest(tmp_path / "out" / "untranscribed.jsonl")] == ["empty", "silent"]
    assert [u.id for u in read_manifest(tmp_path / "out" / "missing.jsonl")] == ["lost"]


def test_description(tmp_path: Path) -> None:
    make_corpus(tmp_path / "in", 60)
    prepared = prepare(tmp_path / "in", tmp_path / "out", pattern=r"(?P<speaker>s\d+)_")
    lines = list(describe(prepared, tmp_path / "out"))
    assert lines[0] == f"{tmp_path / 'in'}: folder of recordings with text files"
    assert lines[1] == "  s0_0.wav [s0]: text 0" and len([line for line in lines if ".wav" in line]) == 3
    assert sum(int(line.split()[1]) for line in lines if ".jsonl: " in line) == 60
    assert lines[-5].endswith("speakers are in more than one split; --by speaker keeps each in one")
    assert lines[-1].startswith(f"{tmp_path / 'out' / 'config.yaml'}: 16000 Hz; texts: NFC, white space collapsed; ")
    train = [Utterance(name, Path("x.wav"), name) for name in "abc"]
    given = Prepared(tmp_path, "folder", (), False, {"train": train, "test": train[:1]}, (), measure([]))
    assert list(describe(given, tmp_path))[-2:] == [
        "1 of 3 texts are in more than one split",
        "there is no validation split, which training needs; --split 0.9,0.1 takes it out of train",
    ]


def test_sources_and_options_that_are_refused(tmp_path: Path) -> None:
    make_corpus(tmp_path / "in", 3)
    touch(tmp_path / "file")
    for arguments, options, message in (
        (("nothing", "out"), {}, "no such file or folder"),
        (("in", "in"), {}, "that is not the source"),
        (("in", "file"), {}, "must be a folder"),
        (("in", "file/x"), {"fractions": [1.0]}, "cannot write the manifests"),
        (("in", "out"), {"by": "age"}, "must be one of id, speaker, text"),
        (("in", "out"), {"format": "age"}, "must be one of kaldi"),
        (("in", "out"), {"tier": "tx"}, "which has no option --tier; try another --format"),
        (("in", "out"), {"format": "eaf"}, "no tier has text"),
    ):
        with pytest.raises(SourceError, match=message):
            prepare(*(tmp_path / name for name in arguments), **options)
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    with pytest.raises(SourceError, match=r"no recording \(found: nothing\)"):
        prepare(tmp_path / "empty", tmp_path / "out")
    touch(tmp_path / "audio" / "a.wav")
    with pytest.raises(SourceError, match=r"recordings without a text: 1 (.|\n)*--pattern"):
        prepare(tmp_path / "audio", tmp_path / "out")
    make_corpus(tmp_path / "latin", 1)
    (tmp_path / "latin" / "\udcff.wav").touch()  # a name that is not UTF-8, as on old disks
    with pytest.raises(SourceError, match="is not a name in UTF-8; rename"):
        prepare(tmp_path / "latin", tmp_path / "out", fractions=[1.0])


def test_a_text_of_which_the_recording_is_not_clear_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    source = tmp_path / "in"
    touch(source / "s1" / "a.wav", source / "s2" / "a.wav", source / "b.wav")
    write(source / "a.txt", "which?")
    with pytest.raises(SourceError, match=r"a.txt: several recordings are called 'a': .*s1/a.wav, .*s2/a.wav"):
        prepare(source, tmp_path / "out")
    write(source / "b.txt", "this one")
    prepared = prepare(source, tmp_path / "out")
    assert [row.text for row in prepared.manifests["train"]] == ["this one"]
    assert len(prepared.faults) == 1 and "a.txt: several recordings are called 'a'" in prepared.faults[0]
    assert [row.id for row in prepared.manifests["untranscribed"]] == ["s1/a", "s2/a"]


def speak(folder: Path, *, count: int = 60, rate: int = 8000, text: str = "Ja, {} ist da.") -> Path:
    for number in range(count):
        sound(folder / f"u{number}.wav", 0.5, rate=rate)
        write(folder / f"u{number}.txt", text.format(number))
    return folder


def test_the_configuration_is_what_the_data_tells_and_serves_from_any_folder(tmp_path: Path) -> None:
    done = run_asr("prepare", speak(tmp_path / "in"), "-o", "data/mine it is", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "next: asr train 'data/mine it is'\n"
    seconds = 0.5 * len(read_manifest(tmp_path / "data/mine it is/train.jsonl"))
    assert f"train has {seconds:.1f} seconds of speech\n  for comparison: 5 minutes of" in done.stdout
    path = tmp_path / "data/mine it is/config.yaml"
    config = Config.load(path)
    assert config.features.sample_rate == 8000
    assert (config.text.lower, config.text.strip_punctuation, config.text.keep_inside_words) == (True, True, "'")
    assert config.data.train == (str(path.with_name("train.jsonl")),)
    assert config.data.validation == (str(path.with_name("validation.jsonl")),)
    for line in path.read_text().splitlines():
        if line.startswith("  ") and ".jsonl" not in line:
            assert "  # " in line  # each decision has its reason
    assert splits_in(path.parent) == [path.with_name(f"{name}.jsonl") for name in ("train", "validation")]
    checked = run_asr("check", "data/mine it is", cwd=tmp_path)
    assert "config.yaml (8000 Hz" in checked.stdout and "training is train" in checked.stdout
    assert checked.stderr.splitlines()[-2] == "next: asr train 'data/mine it is'"


def test_a_configuration_that_a_person_changed_is_never_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(speak(tmp_path / "in"), out)
    path = out / "config.yaml"
    first = path.read_bytes()
    prepare(speak(tmp_path / "new", rate=16000, text="ja {}"), out)  # new data, and nobody changed the file
    assert path.read_bytes() != first and Config.load(path).features.sample_rate == 16000
    own = path.read_bytes()
    for changed in (own.replace(b"lower: false", b"lower: true"), own.split(b"\n", 1)[1], b""):
        path.write_bytes(changed)
        prepared = prepare(tmp_path / "new", out)
        assert "was written or changed by hand, and stays as it is" in " ".join(prepared.notes)
        assert path.read_bytes() == changed
    written = prepare(speak(tmp_path / "odd", text="a\x07b\x85c {}: x: # y"), tmp_path / "other").config
    assert written is not None and Config.load(written).text.lower is False


@pytest.mark.parametrize(
    ("rates", "expected"),
    [({22050: 5}, 16000), ({8000: 5}, 8000), ({8000: 5, 44100: 4}, 8000), ({44100: 5, 8000: 4}, 16000),
     ({11025: 1}, 11025), ({6000: 1}, 8000), ({}, 16000)],
)  # fmt: skip
def test_the_rate_that_most_speech_has(tmp_path: Path, rates: dict[int, int], expected: int) -> None:
    rows = []
    for rate, count in rates.items():
        sound(tmp_path / f"{rate}.wav", count, rate=rate)
        rows += [Utterance(f"{rate}-{n}", tmp_path / f"{rate}.wav", "x", n, 1.0) for n in range(count)]
    assert choose_rate(measure(rows))[0] == expected
