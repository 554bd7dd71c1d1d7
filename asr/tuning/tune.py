"""Tuning of a recogniser on validation data: language models, word confidences, rejection of phrases."""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from asr.corpus.manifest import read_manifest
from asr.corpus.sentences import read_sentences
from asr.decoding.phrases import read_phrases
from asr.errors import AsrError
from asr.lm.arpa import read_arpa
from asr.lm.ngram import NGram
from asr.lm.restore import load_for_decoding
from asr.recognition.ensemble import Ensemble
from asr.recognition.recognizer import Recognizer
from asr.recognition.transcriber import Transcriber
from asr.text import Normalizer
from asr.tuning.confidence import tune_confidence, tune_rejection
from asr.tuning.lstm import lstm_of_texts
from asr.tuning.ngrams import models_of_text, spelling_model, tune_ngrams
from asr.tuning.recurrent import tune_fusion, tune_rescoring
from asr.tuning.validation import Validation
from asr.utterance import Utterance

logger = logging.getLogger(__name__)


def tune(
    recognizer: Recognizer,
    manifest: Path,
    *,
    lm: Path | None = None,
    character_lm: Path | None = None,
    lm_text: Sequence[Path] = (),
    with_lstm: bool = False,
    rnn_lm: Path | None = None,
    given: str | None = None,
    phrases: Path | None = None,
    closed: bool = False,
    plot: Path | None = None,
    beside: Sequence[Transcriber] = (),
    names: Sequence[object] = (),
    report: Callable[[str], None] = logger.info,
) -> None:
    """Tune a recogniser, in place, on the validation data of a manifest. `report` gets each line of progress.

    - `lm`, `character_lm`: ARPA files of words and of characters (default: the characters of the words of `lm`)
    - `lm_text`: texts and manifests to estimate both n-gram models from, in place of ARPA files
    - `with_lstm`: train a character LSTM on `lm_text`, and use it as `rnn_lm`, if that is not given
    - `rnn_lm`: a recurrent language model; it is read in the search, or rescores the n-best list, or is left out
    - `given`: the value of the field that `rnn_lm` is conditioned on (default: none)
    - `phrases`: a file of phrases, to tune how sure a phrase must be
    - `closed`: allow only words of the word model
    - `beside`: recognisers that transcribe as one with this one, which gets what is tuned for all of them
    - `names`: the files of this recogniser and of those of `beside`, for messages
    - `plot`: the PNG file to draw confidences in, before and after calibration

    A language model that does not lower the errors is not stored. Word confidences are calibrated in any case.
    Raises AsrError for options that exclude each other, and for any file that cannot be read.
    """
    if closed and lm is None and not lm_text:
        raise AsrError("--closed allows only words of a word model; give one with --lm, or --lm-text to learn it from")
    if (lm or character_lm) is not None and lm_text:
        raise AsrError("--lm-text estimates both language models; leave out --lm and --character-lm, or --lm-text")
    if given is not None and rnn_lm is None:
        raise AsrError("--given is for the language model of --rnn-lm; name it, or leave out --given")
    field, allow_empty = recognizer.config.data.text_field, recognizer.config.data.train_on_empty
    utterances = read_manifest(manifest, require_text=True, text_field=field, allow_empty=allow_empty)
    words: NGram | None = None
    characters: NGram | None = None
    if lm_text:
        sentences = list(read_sentences(lm_text, recognizer.normalizer, field))
        if known := count_verbatim(sentences, utterances, recognizer.normalizer):
            logger.warning(
                "%d of %d texts of %s stand verbatim in the language model's text: it will be trusted too much",
                known,
                len(utterances),
                manifest,
            )
        words, characters = models_of_text(sentences, recognizer.units)
    elif lm or character_lm:
        words = read_arpa(lm) if lm else None
        characters = read_arpa(character_lm) if character_lm else spelling_model(words) if words else None
    if phrases is not None:
        recognizer.require_ctc_search()
    listed = read_phrases(phrases, recognizer.units, recognizer.normalizer) if phrases is not None else []
    recurrent = load_for_decoding(rnn_lm, given) if rnn_lm else None
    decoder = recognizer.beam(words, characters, closed=closed)
    tuned = Ensemble([recognizer, *beside], names) if beside else recognizer
    validation = Validation(tuned, utterances)
    if words or characters:
        tune_ngrams(validation, decoder, report)
    if with_lstm and recurrent is None and lm_text and characters is not None:
        recurrent = lstm_of_texts(sentences, validation.references, characters, recognizer.normalizer, report)
    if recurrent is not None:
        tune_rescoring(validation, recurrent, report)
        tune_fusion(validation, recurrent, report)
    tune_confidence(validation, report, plot)
    if listed:
        tune_rejection(validation, listed, report)
    recognizer.decoder, recognizer.confidence, recognizer.rejection = tuned.decoder, tuned.confidence, tuned.rejection


def count_verbatim(sentences: Iterable[str], utterances: Sequence[Utterance], normalizer: Normalizer) -> int:
    """Count the utterances whose text is one of some normalised `sentences`."""
    known = set(sentences)
    return sum(normalizer(utterance.text or "") in known for utterance in utterances)
