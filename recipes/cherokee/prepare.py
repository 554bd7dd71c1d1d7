"""Cherokee -> manifests: two speakers only for a test, all other utterances divided by a hash of their words.

The words are the letters of a transcript, without case, punctuation, tone marks and length. No words of a test are in
training: utterances of training speakers with words of the two test speakers go to the other test.
"""

import unicodedata
from dataclasses import replace
from pathlib import Path

from asr.cli import run
from asr.corpus.download import Archive
from asr.corpus.readers import table
from asr.corpus.recipe import open_corpus, write_splits
from asr.corpus.split import split
from asr.errors import ManifestError, raise_problems
from asr.files import read_text
from asr.utterance import Utterance

# No checksum: the host makes the archive of a branch at each download, so its bytes may change.
ARCHIVES = [Archive("https://github.com/CherokeeLanguage/cherokee-audio-data/archive/refs/heads/main.tar.gz")]
SETS = {  # the folder of each set that holds its recordings
    "cno": "cno_cwl",
    "durbin-feeling-tones": "mp3",
    "see-say-write": "mp3",
    "walc-1": "mp3",
    "wwacc": "mp3",
}
LANGUAGE = "chr"  # the sets also hold English announcements
# A woman of the dictionary, and a man of the textbook. Durbin Feeling cannot be one: he speaks in three sets.
NEW_SPEAKERS = ("cno-f-chr_5", "02-m-walc1")
SHARES = (0.1, 0.1, 0.8)  # of the words of the other speakers: validation, test, training


def main() -> None:
    source, out = open_corpus("cherokee", __doc__, ARCHIVES)
    utterances = read_copy(source) if (source / "metadata.csv").is_file() else read_sets(source)
    speakers = [utterance for utterance in utterances if utterance.speaker in NEW_SPEAKERS]
    kept_out = set(map(words, speakers))
    others = [utterance for utterance in utterances if utterance.speaker not in NEW_SPEAKERS]
    test = [utterance for utterance in others if words(utterance) in kept_out]
    rest = [utterance for utterance in others if words(utterance) not in kept_out]
    validation, more, train = split(rest, SHARES, by=words)
    write_splits(out, {"train": train, "validation": validation, "test": test + more, "speakers": speakers})


def words(utterance: Utterance) -> str:
    """Return the letters of the transcript: the key that keeps all spellings of a sentence in one split."""
    letters = unicodedata.normalize("NFD", (utterance.text or "").lower())
    return " ".join("".join(c for c in letters if c.isalpha() or c.isspace()).split())


def read_copy(source: Path) -> list[Utterance]:
    """Read the utterances of `metadata.csv`, a table with the columns file, speaker, set and text."""
    return [replace(utterance, id=utterance.audio.stem) for utterance in table.read(source / "metadata.csv")[""]]


def read_sets(source: Path) -> list[Utterance]:
    """Read the Cherokee utterances of `{set}/all.txt` for each set, at any depth below `source`.

    Raises ManifestError if a set or a recording is missing, or a line is not one of a transcript.
    """
    utterances, problems = [], []
    for name, folder in SETS.items():
        lists = sorted(source.glob(f"**/{name}/all.txt"))
        if not lists:
            raise ManifestError(f"{source}: holds no {name}/all.txt; give the folder of cherokee-audio-data")
        for number, line in enumerate(read_text(lists[0], ManifestError).splitlines(), start=1):
            cells = line.split("|")
            if len(cells) != 8:
                problems.append(f"{lists[0]}:{number}: {len(cells) - 1} times |, 7 expected; download the corpus again")
                continue
            index, speaker, language, wav, *_, text, _ = cells
            if language != LANGUAGE:
                continue
            audio = lists[0].parent / folder / Path(wav).with_suffix(".mp3").name
            if not audio.is_file():
                problems.append(f"{lists[0]}:{number}: there is no {audio}; download the corpus again")
            key = f"{name}-{index}-{speaker}"
            utterances.append(Utterance(id=key, audio=audio, text=text, speaker=speaker, extra={"set": name}))
    raise_problems(problems, ManifestError)
    return utterances


if __name__ == "__main__":
    run(main)
