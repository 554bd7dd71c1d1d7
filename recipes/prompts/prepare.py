"""Prompts of telephone exchanges in five languages -> manifests, from the packages of Debian.

Each language has one voice. A hash of the normalised text divides the prompts, so that no text of a test is in
training. Whole splits are for the recogniser; the parts of each language are for weights, and for its own score.
"""

import re
import unicodedata
from collections import Counter
from pathlib import Path

import soundfile

from asr.cli import run
from asr.cli.log import tell
from asr.corpus.download import Archive
from asr.corpus.readers.files import SourceError, walk
from asr.corpus.recipe import open_corpus, write_splits
from asr.corpus.sentences import read_sentences
from asr.corpus.split import split
from asr.text import Normalizer
from asr.utterance import Utterance

# The version is in Debian since 2018.
PACKAGE = "apt:asterisk-core-sounds-{}_1.6.1-1_all.deb"
ARCHIVES = [
    Archive(PACKAGE.format(name), checksum=f"sha256:{digest}", size=size)
    for name, size, digest in (
        ("en", 22844, "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50"),
        ("en-wav", 18272864, "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d"),
        ("es", 22012, "9afdab7f559f036649fb406e625899306ca1004df8ebe39c30bfbd5912d66f74"),
        ("es-wav", 23767256, "9283a09a6d56fccdcc2bcfe86c48f0f844289cfbd46a3184d8785a6f7f569903"),
        ("fr", 23152, "04c82c78c570c43a7136cbc5e2488d0c470b775468dff9fbce4a131b18cf1056"),
        ("fr-wav", 18516060, "8d4e1bc32ed5ba7fbda40841ca1825ed20cc6232724a473c90f8bb0e53e6073e"),
        ("it", 23972, "3884d9457e12f21caa018c18f0d587df5d53ebea14b673d8453a134c5941ab3b"),
        ("it-wav", 18262124, "5a26638089e134b8ac39363fe249c5c93c50cd8bfdc9b2499ae61ec4a35e2fcb"),
        ("ru", 25592, "28a61616bb0cd3345a7ea532dec4df9f071e5d0fa9f8c1a563ea9669002f39ab"),
        ("ru-wav", 18788860, "ccbfaebfa450b7a9ddf644ae0f3d1e9017d5df7c0aebe816e946345589d38201"),
    )
]
VOICES = {
    "en": "en_US_f_Allison",
    "es": "es_MX_f_Allison",
    "fr": "fr_CA_f_June",
    "it": "it_IT_m_Carlo",
    "ru": "ru_RU_f_IvrvoiceRU",
}
SHARES = (0.1, 0.1, 0.8)  # of the texts: validation, test, training
SPLITS = ("validation", "test", "train")

SOUNDS = re.compile(r"silence/|beep|(a|de)scending-2tone$|confbridge-(join|leave)$|tt-monkeys$")  # without speech
# Names of protocols, which some lists write as words, and texts with a sentence that is not spoken: 23 and 30
# characters a second, where the voice speaks at most 17 and 23.
PROTOCOLS = re.compile(r"spy-(dahdi|h323|iax2?|mgcp|misdn|nbs|sip|usbradio)$")
NOT_SPOKEN = ("es-vm-mismatch", "fr-vm-mismatch")
SIGN = re.compile(r"\[[^\w\]]*\]")  # the sign that a text such as "dash [-]" names
DIGIT = re.compile(r"(?<![\w.,])\d(?!\w|[.,]\d)")  # a number of one digit
# Why nobody can tell from a text what the voice says.
DOUBTS = {
    "notes in brackets": re.compile(r"[\[\](){}<>]"),
    "larger numbers in digits": re.compile(r"\d"),
    "abbreviations and names of letters": re.compile(
        r"(?<![\w'’])[b-df-hj-np-xzB-DF-HJ-NP-XZ](?![\w'’])|\b[A-Z]{2,}\b|\w\.\w"
    ),
    "signs": re.compile(r"[*#/@=+]"),
    "letters that were lost": re.compile(r"\? +[a-z]"),
    "two prompts in one line": re.compile(r"\w-\w+:"),
}
LATIN = re.compile(r"[A-Za-z]")


def main() -> None:
    source, out = open_corpus("prompts", __doc__, ARCHIVES)
    parts: dict[str, list[Utterance]] = {name: [] for name in SPLITS}
    splits = dict(parts)
    for language in VOICES:
        divided = split(read_language(source, language), SHARES, by=lambda utterance: words(utterance.text or ""))
        for name, part in zip(SPLITS, divided, strict=True):
            splits[f"{name}.{language}"] = part
            parts[name] += part
    write_splits(out, splits)


def words(text: str) -> str:
    """Return the words of a text: the key that keeps prompts of equal words in one split."""
    return Normalizer(lower=True, strip_punctuation=True)(text)


def read_language(source: Path, language: str) -> list[Utterance]:
    """Return the prompts of a language whose text is what the voice says, and report how many are left out, and why.

    Raises SourceError if the transcripts or the recordings are missing, or a line has no name.
    """
    texts = read_texts(find(source, f"core-sounds-{language}.txt.gz"))
    folder = find(source, f"sounds/{VOICES[language]}")
    recordings = {path.relative_to(folder).with_suffix("").as_posix().lower(): path for path in walk(folder, ".wav")}
    digits = {digit: texts.get(f"digits/{digit}", "") for digit in "0123456789"}
    utterances, reasons = [], Counter({"without a transcript": len(recordings.keys() - texts.keys())})
    for name, written in texts.items():
        text = spoken(written, language, digits)
        if name not in recordings:
            reasons["without a recording"] += 1
        elif reason := doubt(name, text, language):
            reasons[reason] += 1
        else:
            path = recordings[name]
            key = f"{language}-{name.replace('/', '-')}"
            duration, extra = soundfile.info(path).duration, {"language": language}
            utterances.append(Utterance(key, path, text, duration=duration, speaker=VOICES[language], extra=extra))
    listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common() if count)
    tell(f"{language}: {len(utterances)} prompts; left out: {listed or 'none'}")
    return utterances


def find(source: Path, name: str) -> Path:
    """Return the file or folder `name` at any depth below `source`. Raises SourceError if there is none."""
    found = sorted(source.glob(f"**/{name}"))
    if not found:
        raise SourceError(f"{source}: holds no {name}; give a folder with the extracted packages of Debian")
    return found[0]


def read_texts(table: Path) -> dict[str, str]:
    """Read the lines `name: text` of a list of transcripts; the first line counts if a name is repeated.

    Names are in lower case, since the lists and the files differ there. Raises SourceError for a line without a name.
    """
    texts: dict[str, str] = {}
    for line in read_sentences([table], Normalizer()):
        name, colon, text = line.partition(":")
        if line.startswith(";"):
            continue
        if not colon:
            raise SourceError(f"{table}: the line {line!r} has no name and colon; download the package again")
        texts.setdefault(name.lower(), text.strip())
    return texts


def spoken(text: str, language: str, digits: dict[str, str]) -> str:
    """Return the text as it is spoken: digits as words, without signs, and in one spelling."""
    text = DIGIT.sub(lambda digit: digits[digit[0]], SIGN.sub("", text)).strip()
    if language == "es":  # two of three texts are written without accents
        return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return text.replace("ё", "е")


def doubt(name: str, text: str, language: str) -> str | None:
    """Return why a text is perhaps not what the voice says, or None."""
    if SOUNDS.match(name):
        return "sounds without speech"
    if not words(text):
        return "without a text"
    if f"{language}-{name}" in NOT_SPOKEN:
        return "with a sentence that is not spoken"
    if PROTOCOLS.match(name) or (name.startswith("letters/") and len(text) == 1):
        return "abbreviations and names of letters"
    if language == "ru" and LATIN.search(text):
        return "words in Latin letters"
    return next((reason for reason, pattern in DOUBTS.items() if pattern.search(text)), None)


if __name__ == "__main__":
    run(main)
