"""Validation data as tuning needs it: recognised once, decoded and scored as often as wanted."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from asr.audio import load_audio
from asr.decoding.decoder import Decoder
from asr.decoding.greedy import best_path
from asr.equalize import Equalizer, source_of
from asr.errors import TextError
from asr.recognition.recognizer import Recognizer
from asr.scoring.wer import Score, score
from asr.text import Normalizer
from asr.utterance import Utterance


class Validation:
    """References and log-probabilities of a validation set."""

    def __init__(self, recognizer: Recognizer, utterances: Sequence[Utterance]) -> None:
        """Reads and recognises every utterance.

        Raises AudioError, TextError where there is no word to score, and ConfigError for a model that does not decode
        with CTC alone.
        """
        recognizer.require_ctc_search()
        self.recognizer = recognizer
        self.references = [recognizer.normalizer(utterance.text or "") for utterance in utterances]
        if not any(self.references):
            raise TextError("the validation manifest has no texts, so there is nothing to tune on")
        waveforms = [
            load_audio(u.audio, recognizer.sample_rate, offset=u.offset, duration=u.duration) for u in utterances
        ]
        if recognizer.config.features.equalize:
            sources = list(map(source_of, utterances))
            equalizer = Equalizer(sources, waveforms.__getitem__, recognizer.sample_rate)
            waveforms = [equalizer(index, waveform) for index, waveform in enumerate(waveforms)]
        self.log_probs = [np.zeros((0, len(recognizer.units)), np.float32)] * len(utterances)
        for indices, log_probs, lengths in recognizer.batches([len(w) for w in waveforms], waveforms.__getitem__):
            for index, row, length in zip(indices, log_probs.cpu().numpy(), lengths.tolist(), strict=True):
                self.log_probs[index] = row[:length].copy()

    def score(self, decoder: Decoder | None, *, interval: bool = False) -> Score:
        """The score with a decoder, or with best path."""
        if decoder is not None:
            hypotheses = decoder.decode(self.log_probs)
        else:
            rows = map(torch.from_numpy, self.log_probs)
            hypotheses = [best for row in rows for best in best_path(row[None], torch.tensor([len(row)]))]
        texts = [self.recognizer.text(best.units) for best in hypotheses]
        return score(self.references, texts, interval=interval)


def said_verbatim(sentences: Iterable[str], utterances: Sequence[Utterance], normalizer: Normalizer) -> int:
    """How many utterances have a text that stands word for word among normalised `sentences`."""
    known = set(sentences)
    return sum(normalizer(utterance.text or "") in known for utterance in utterances)
