"""The recipes: every configuration trains, every `prepare.py` makes the promised splits, and real speech is learned."""

import importlib.util
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from conftest import REPOSITORY
from processes import run_asr, run_script
from test_steady import assert_nothing_is_said

from asr.audio import load_audio
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.recognition.recognizer import load
from asr.text import Units
from asr.training.train import train
from asr.utterance import Utterance


def run_prepare(recipe: str, out: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    script = REPOSITORY / "recipes" / recipe / "prepare.py"
    if recipe != "demo":
        return run_script(script, "-o", out, *arguments, ASR_CORPORA="")
    # A voice of espeak-ng computes with memory that nobody has set: it has equal contents in fresh processes only.
    command = [sys.executable, str(script), "-o", str(out), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def prepare(recipe: str, out: Path, *arguments: object) -> None:
    done = run_prepare(recipe, out, *arguments)
    assert done.returncode == 0, done.stderr


def failure(recipe: str, out: Path, *arguments: object) -> str:
    """Run a `prepare.py` that fails, and return its message on stderr, which is not a traceback."""
    done = run_prepare(recipe, out, *arguments)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    return done.stderr


def module(recipe: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(recipe, REPOSITORY / "recipes" / recipe / "prepare.py")
    assert specification is not None and specification.loader is not None
    loaded = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a hundredth of the demo corpus."""
    folder = tmp_path_factory.mktemp("demo")
    prepare("demo", folder, "--scale", 0.01)
    return folder


def test_demo_corpus(digits: Path) -> None:
    sizes = {"train": 24, "validation": 2, "test": 3}
    for name, size in sizes.items():
        utterances = read_manifest(digits / f"{name}.jsonl", require_text=True)
        assert len(utterances) == size
        for utterance in utterances:
            assert 3 <= len((utterance.text or "").split()) <= 7
            assert soundfile.info(utterance.audio).duration == utterance.duration
    # A second run makes the same bytes.
    again = digits / "again"
    prepare("demo", again, "--scale", 0.01)
    for path in sorted((digits / "train").glob("*.wav")):
        assert path.read_bytes() == (again / "train" / path.name).read_bytes()


def test_demo_voices_speak_on_one_side_only() -> None:
    demo = module("demo")
    sides = [{voice for family in voices for voice in family} for voices, _ in demo.SPLITS.values()]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]


@pytest.mark.parametrize("recipe", sorted(path.parent.name for path in REPOSITORY.glob("recipes/*/config.yaml")))
def test_every_configuration_trains_a_few_steps(recipe: str, digits: Path, tmp_path: Path) -> None:
    manifest = str(digits / "train.jsonl")
    config = Config.load(
        REPOSITORY / "recipes" / recipe / "config.yaml",
        [
            *(f"data.train={manifest}", f"data.validation={manifest}", "training.epochs=1"),
            *("training.batch_utterances=8", "model.hidden=16"),  # so that large configurations are fast
            "data.text_field=text",
        ],
    )
    train(config, tmp_path)
    assert (tmp_path / "model.safetensors").exists()


def test_fsdd_splits(corpora: Path, tmp_path: Path) -> None:
    prepare("fsdd", tmp_path, "--source", corpora / "fsdd")
    splits = {name: read_manifest(tmp_path / f"{name}.jsonl") for name in ("train", "validation", "test", "speakers")}
    ids = {name: {utterance.id for utterance in utterances} for name, utterances in splits.items()}
    assert len(ids["test"]) == 300 and {u.extra["index"] for u in splits["test"]} == {0, 1, 2, 3, 4}
    assert ids["train"] | ids["validation"] | ids["test"] == ids["speakers"] and len(ids["speakers"]) == 3000
    assert sum(len(ids[name]) for name in ("train", "validation", "test")) == 3000
    unseen = read_manifest(tmp_path / "theo.jsonl")
    for part in ("train", "validation"):
        assert "theo" not in {u.speaker for u in read_manifest(tmp_path / f"without-theo.{part}.jsonl")}
    assert {u.speaker for u in unseen} == {"theo"} and len(unseen) == 500


def test_yesno_split_and_parts(corpora: Path, tmp_path: Path) -> None:
    prepare("yesno", tmp_path, "--source", corpora / "yesno")
    names = sorted(path.stem for path in (corpora / "yesno" / "waves_yesno").glob("*.wav"))
    sets = {name: read_manifest(tmp_path / f"{name}.jsonl") for name in ("train", "validation", "test")}
    assert [utterance.id for utterance in sets["test"]] == names[30:]
    recordings = {name: {utterance.audio.stem for utterance in rows} for name, rows in sets.items()}
    assert recordings["train"] | recordings["validation"] == set(names[:30])
    assert not recordings["train"] & recordings["validation"]
    for utterance in sets["train"] + sets["validation"]:
        if utterance.offset:
            skipped = int(utterance.id.split("@")[1])
            assert len((utterance.text or "").split()) == 8 - skipped
            assert 0.4 * skipped < utterance.offset < 0.9 * skipped + 1.6


def record(path: Path, seconds: float = 0.5, **format: str) -> None:
    """Write a recording of faint noise; the suffix sets the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(str(path))).normal(0, 0.01, round(16000 * seconds))
    soundfile.write(path, noise, 16000, **format)


def read_splits(folder: Path) -> dict[str, list[Utterance]]:
    return {
        name: read_manifest(folder / f"{name}.jsonl", require_text=True) for name in ("train", "validation", "test")
    }


@pytest.mark.parametrize(("suffix", "format"), [(".wav", {}), (".opus", {"format": "OGG", "subtype": "OPUS"})])
def test_mboshi_in_its_official_layout(suffix: str, format: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "mboshi-french-parallel-corpus-master" / "full_corpus_newsplit"
    for part, count in (("train", 60), ("dev", 4), ("all", 64)):  # `all` repeats both parts
        for number in range(count):
            stem = folder / part / f"{'abiayi' if number % 3 else 'martial'}_2015-09-08_mdw_elicit_Dico18_{number}"
            record(stem.with_name(stem.name + suffix), 0.1, **format)
            for ending, text in ((".mb", "X."), (".mb.cleaned", f"mwána {number // 2}\n"), (".fr", "Enfant\n")):
                stem.with_name(stem.name + ending).write_text(text, encoding="utf-8")
    prepare("mboshi", tmp_path / "out", "--source", tmp_path)
    splits = read_splits(tmp_path / "out")
    assert len(splits["train"]) + len(splits["validation"]) == 60 and len(splits["test"]) == 4
    assert splits["validation"] and not {u.text for u in splits["train"]} & {u.text for u in splits["validation"]}
    first = splits["test"][0]
    assert (first.speaker, first.extra["translation"], first.duration) == ("abiayi", "Enfant", 0.1)

    next((folder / "dev").glob(f"*{suffix}")).unlink()
    assert "has no recording beside it" in failure("mboshi", tmp_path / "out", "--source", tmp_path)


def test_mboshi_local_copy(corpora: Path, tmp_path: Path) -> None:
    prepare("mboshi", tmp_path, "--source", corpora / "mboshi")
    splits = read_splits(tmp_path)
    texts = {name: {utterance.text for utterance in utterances} for name, utterances in splits.items()}
    assert 0.08 < len(texts["validation"]) / len(texts["train"] | texts["validation"]) < 0.12
    assert texts["train"].isdisjoint(texts["validation"] | texts["test"]) and texts["validation"].isdisjoint(
        texts["test"]
    )
    assert {u.speaker for u in splits["train"]} == {"abiayi", "kouarata", "martial"}


def plant_cherokee(folder: Path) -> None:
    """Write the five sets in the official layout: each word in two spellings, two speakers, a line of English."""
    sets = module("cherokee").SETS
    for name, recordings in sets.items():
        rows = []
        for number in range(1, 61):
            speaker = "02-m-walc1" if number % 10 == 0 else f"{name}-reader"
            word = np.base_repr(12345 + number // 2, 3).translate(str.maketrans("012", "aio"))
            rows.append(f"{number:06d}|{speaker}|chr|wav/{number}.wav|||{word if number % 2 else word.title() + ':.'}|")
            record(folder / name / recordings / f"{number}.mp3", 0.1)
        rows.append("000061|02-m-walc1|en|wav/never.wav|||Lesson two.|")
        (folder / name / "all.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_cherokee_in_its_official_layout(tmp_path: Path) -> None:
    corpus = tmp_path / "cherokee-audio-data-main"
    plant_cherokee(corpus)
    prepare("cherokee", tmp_path / "out", "--source", tmp_path)
    splits = read_splits(tmp_path / "out") | {"speakers": read_manifest(tmp_path / "out" / "speakers.jsonl")}
    assert sum(map(len, splits.values())) == 300 and {u.extra["set"] for u in splits["test"]} <= {
        *module("cherokee").SETS
    }
    assert {u.speaker for u in splits["speakers"]} == {"02-m-walc1"} and len(splits["speakers"]) == 30
    assert "cno-000010-02-m-walc1" in {u.id for u in splits["speakers"]}
    words = {name: {module("cherokee").words(u) for u in rows} for name, rows in splits.items()}
    assert words["train"].isdisjoint(words["validation"] | words["test"] | words["speakers"])
    assert words["validation"].isdisjoint(words["test"] | words["speakers"])

    lines = (corpus / "wwacc" / "all.txt").read_text(encoding="utf-8").splitlines()
    (corpus / "wwacc" / "all.txt").write_text("\n".join([*lines, "000062|01-m-wwacc|chr|wav/62.wav"]), encoding="utf-8")
    (corpus / "wwacc" / "mp3" / "7.mp3").unlink()
    message = failure("cherokee", tmp_path / "out", "--source", tmp_path)
    assert "all.txt:62: 3 times |, 7 expected" in message and "all.txt:7: there is no" in message
    (corpus / "walc-1" / "all.txt").unlink()
    assert "holds no walc-1/all.txt" in failure("cherokee", tmp_path / "out", "--source", tmp_path)


def test_cherokee_keeps_length_tone_and_glottal_stop() -> None:
    config = Config.load(REPOSITORY / "recipes" / "cherokee" / "config.yaml")
    text = config.text.normalizer("Gawó:ni:sgí Sà:gwű: “V́:tla Naɂv̋:ɂi”?")
    assert text == "gawó:ni:sgí sà:gwű v́:tla naɂv̋:ɂi"
    assert Units.learn([text], config.text.units).split("v́:") == ["v", "\u0301", ":"]


def test_cherokee_local_copy(corpora: Path, tmp_path: Path) -> None:
    """Training hears neither the two speakers nor any words of a test, however they are spelled."""
    if not (corpora / "cherokee").is_dir():
        pytest.skip(f"{corpora} has no cherokee/")
    prepare("cherokee", tmp_path, "--source", corpora / "cherokee")
    splits = read_splits(tmp_path) | {"speakers": read_manifest(tmp_path / "speakers.jsonl")}
    assert {name: len(rows) for name, rows in splits.items()} == {
        "train": 1432, "validation": 199, "test": 208, "speakers": 217
    }  # fmt: skip
    assert {u.speaker for u in splits["speakers"]} == {"cno-f-chr_5", "02-m-walc1"}
    assert {u.speaker for u in splits["train"]}.isdisjoint({u.speaker for u in splits["speakers"]})
    words = {name: {module("cherokee").words(u) for u in rows} for name, rows in splits.items()}
    assert words["train"].isdisjoint(words["validation"] | words["test"] | words["speakers"])
    assert min(u.id for u in splits["train"]) == "cno-000004-cno-f-chr_2"  # as in the official layout


@pytest.mark.parametrize("recipe", ["librispeech", "librispeech-mini"])
def test_librispeech_from_its_archives_layout(recipe: str, tmp_path: Path) -> None:
    parts = module(recipe).PARTS
    for number, part in enumerate(parts.values()):
        chapter = tmp_path / part / "LibriSpeech" / part / str(number) / "7"
        record(chapter / f"{number}-7-0000.flac")
        record(chapter / f"{number}-7-0001.flac")
        (chapter / f"{number}-7.trans.txt").write_text(f"{number}-7-0000 CHAPTER ONE\n{number}-7-0001 IT'S {part}\n")
    prepare(recipe, tmp_path / "out", "--source", tmp_path)
    for number, (name, utterances) in enumerate(read_splits(tmp_path / "out").items()):
        assert [u.text for u in utterances] == ["CHAPTER ONE", f"IT'S {parts[name]}"]
        assert {u.speaker for u in utterances} == {str(number)}
    assert "holds no " + parts["train"] in failure(recipe, tmp_path / "out", "--source", tmp_path / parts["test"])


@pytest.mark.parametrize(("suffix", "format"), [(".sph", {"format": "NIST", "endian": "BIG"}), (".wav", {})])
def test_an4_in_its_official_layout(suffix: str, format: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "an4"
    (root / "etc").mkdir(parents=True)
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for number in range(40):
        record(root / "wav" / "an4_clstk" / f"f{number // 2}" / f"an{number}-f{number // 2}-b{suffix}", 0.5, **format)
        lines["train"].append(f"<s> ENTER SIX {number} </s> (an{number}-f{number // 2}-b)")
    record(root / "wav" / "an4test_clstk" / "menk" / f"cen1-menk-b{suffix}", 0.5, **format)
    lines["test"].append("RUBOUT G M (cen1-menk-b)")
    for part, rows in lines.items():
        (root / "etc" / f"an4_{part}.transcription").write_text("\n".join(rows) + "\n")
    prepare("an4", tmp_path / "out", "--source", tmp_path)
    splits = read_splits(tmp_path / "out")
    assert [(u.id, u.text, u.speaker, u.duration) for u in splits["test"]] == [
        ("cen1-menk-b", "RUBOUT G M", "menk", 0.5)
    ]
    assert len(load_audio(splits["test"][0].audio, 16000)) == 8000
    assert len(splits["train"]) + len(splits["validation"]) == 40 and splits["train"][0].text == "ENTER SIX 0"
    assert splits["validation"] and not {u.speaker for u in splits["train"]} & {u.speaker for u in splits["validation"]}

    (root / "etc" / "an4_test.transcription").write_text("YES (cen9-menk-b)\nno name\n")
    message = failure("an4", tmp_path / "out", "--source", tmp_path)
    assert "an4_test.transcription:1: " in message and "cen9-menk-b: no such recording" in message
    assert "an4_test.transcription:2: 'no name' does not end in" in message


def test_ljspeech_from_its_archive(tmp_path: Path) -> None:
    root = tmp_path / "LJSpeech-1.1"
    for number in range(100):
        record(root / "wavs" / f"LJ001-{number:04}.wav", 0.05)
    rows = [f'LJ001-{number:04}|"No. {number}|"number {number}' for number in range(100)]
    (root / "metadata.csv").write_text("\n".join(rows))
    with tarfile.open(tmp_path / "LJSpeech-1.1.tar.bz2", "w:bz2") as tar:
        tar.add(root, "LJSpeech-1.1")
    prepare("ljspeech", tmp_path / "out", "--source", tmp_path / "LJSpeech-1.1.tar.bz2")
    splits = read_splits(tmp_path / "out")
    assert sum(map(len, splits.values())) == 100 and len(splits["train"]) > 80
    assert all(u.text == f'"number {int(u.id[-4:])}' and u.audio.is_file() for u in splits["train"])


def test_ljspeech_local_copy(corpora: Path, tmp_path: Path) -> None:
    prepare("ljspeech", tmp_path, "--source", corpora / "ljspeech")
    assert sum(map(len, read_splits(tmp_path).values())) == 385


def test_common_voice_from_its_archive(tmp_path: Path) -> None:
    root = tmp_path / "cv-corpus-17.0-2024-03-15" / "cy"
    header = "client_id\tpath\tsentence_id\tsentence\tup_votes\tdown_votes\tlocale\n"
    for number, table in enumerate(("train", "dev", "test")):
        record(root / "clips" / f"common_voice_cy_{number}.mp3", 0.5)
        row = f'{number:032x}\tcommon_voice_cy_{number}.mp3\t7\tY "tŷ" {table}\t2\t0\tcy\n'
        (root / f"{table}.tsv").write_text(header + row, encoding="utf-8")
    with tarfile.open(tmp_path / "cy.tar.gz", "w:gz") as tar:
        tar.add(root.parent, root.parent.name)
    prepare("commonvoice", tmp_path / "out", "--source", tmp_path / "cy.tar.gz")
    splits = read_splits(tmp_path / "out")
    assert {name: [u.text for u in rows] for name, rows in splits.items()} == {
        "train": ['Y "tŷ" train'],
        "validation": ['Y "tŷ" dev'],
        "test": ['Y "tŷ" test'],
    }
    assert len({u.speaker for rows in splits.values() for u in rows}) == 3
    assert "make commonvoice SOURCE=" in failure("commonvoice", tmp_path / "elsewhere")


def test_archives_are_official_and_can_be_checked() -> None:
    """Addresses are https or packages of Debian; every archive has a checksum unless its host makes it anew."""
    for path in REPOSITORY.glob("recipes/*/prepare.py"):
        for archive in getattr(module(path.parent.name), "ARCHIVES", []):
            assert archive.url.startswith(("https://", "apt:"))
            algorithm, _, digits = (archive.checksum or "").partition(":")
            if not archive.url.startswith("https://github.com/"):
                assert len(digits) == {"sha256": 64, "md5": 32}[algorithm] and int(digits, 16)


def test_every_recipe_has_its_files_a_target_and_a_line_in_the_index() -> None:
    makefiles = [REPOSITORY / "Makefile", *REPOSITORY.glob("recipes/*/recipe.mk")]
    targets = "\n".join(path.read_text() for path in makefiles)
    index = (REPOSITORY / "recipes" / "README.md").read_text()
    for folder in (path.parent for path in REPOSITORY.glob("recipes/*/prepare.py")):
        assert (folder / "config.yaml").is_file() and "make " + folder.name in (folder / "README.md").read_text()
        assert f"\n{folder.name}: " in targets and f"({folder.name}/README.md)" in index


def test_missing_recordings_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "waves_yesno").mkdir()
    assert "0 recordings found, 60 expected" in failure("yesno", tmp_path / "out", "--source", tmp_path)


@pytest.mark.slow
def test_real_speech_is_learned_from_files_to_score(corpora: Path, tmp_path: Path) -> None:
    """YesNo by the command line has under 10 % word errors on the official test half."""
    prepare("yesno", tmp_path / "data" / "yesno", "--source", corpora / "yesno")
    config = REPOSITORY / "recipes" / "yesno" / "config.yaml"
    assert run_asr("train", config, cwd=tmp_path).returncode == 0
    assert_nothing_is_said(load(tmp_path / "runs/yesno/model.safetensors", "cpu"))
    test = "data/yesno/test.jsonl"
    assert run_asr("transcribe", "runs/yesno/model.safetensors", test, "-o", "hyp.jsonl", cwd=tmp_path).returncode == 0
    scored = run_asr("score", test, "hyp.jsonl", cwd=tmp_path)
    line = scored.stdout.splitlines()[-1]
    assert " / 240, " in line and float(line.split()[1]) < 10


@pytest.mark.slow
def test_training_and_validation_scores_agree_on_real_speech(corpora: Path, tmp_path: Path) -> None:
    """After a few epochs of FSDD, the validation score in the log equals that of `asr transcribe` and `asr score`."""
    prepare("fsdd", tmp_path / "data" / "fsdd", "--source", corpora / "fsdd")
    config = REPOSITORY / "recipes" / "fsdd" / "config.yaml"
    trained = run_asr("train", config, "--set", "training.epochs=4", "--set", "training.warmup=0.3", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    validation = "data/fsdd/validation.jsonl"
    run_asr("transcribe", "runs/fsdd/model.safetensors", validation, "-o", "hyp.jsonl", cwd=tmp_path)
    lines = run_asr("score", validation, "hyp.jsonl", cwd=tmp_path).stdout.splitlines()
    log = [json.loads(line) for line in (tmp_path / "runs" / "fsdd" / "log.jsonl").read_text().splitlines()]
    best = min(log, key=lambda row: (row["cer"], row["validation_loss"], -row["epoch"]))
    assert lines[0].startswith(f"%CER {best['cer']:.2f} [") and lines[1].startswith(f"%WER {best['wer']:.2f} [")
    assert best["cer"] < 50
    assert_nothing_is_said(load(tmp_path / "runs/fsdd/model.safetensors", "cpu"))


def test_a_recording_in_training_and_validation_is_reported(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    rows = read_manifest(digits / "train.jsonl")
    write_manifest(tmp_path / "t.jsonl", rows[:8])
    write_manifest(tmp_path / "v.jsonl", [Utterance("x", rows[0].audio, rows[0].text)])
    config = Config.load(
        REPOSITORY / "recipes" / "demo" / "config.yaml",
        [f"data.train={tmp_path}/t.jsonl", f"data.validation={tmp_path}/v.jsonl", "training.epochs=1"],
    )
    train(config, tmp_path / "run")
    assert "1 duplicate audio" in capsys.readouterr().err


def test_models_for_a_new_speaker_never_learn_from_the_transcripts_of_that_speaker() -> None:
    """`make fsdd-speakers-adapted`: each model and its teacher train without a speaker, whose texts only score them."""
    plan = subprocess.run(
        ["make", "--dry-run", "--always-make", "fsdd-speakers-adapted"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.replace("\\\n", " ")
    trainings = [line.split() for line in plan.splitlines() if " train --overwrite " in line]
    adapted = {words[words.index("--untranscribed") + 1]: words for words in trainings if "--untranscribed" in words}
    assert len(trainings) == 12 and len(adapted) == 6
    for recordings, words in adapted.items():
        speaker = Path(recordings).stem
        assert f"data.train=data/fsdd/without-{speaker}.train.jsonl" in words
        assert f"data.validation=data/fsdd/without-{speaker}.validation.jsonl" in words
        teacher = Path(words[words.index("--teacher") + 1])
        (of_teacher,) = (other for other in trainings if str(teacher.parent) in other)
        assert f"data.train=data/fsdd/without-{speaker}.train.jsonl" in of_teacher
