"""Validation data for tuning: log-probabilities are computed once, then decoded and scored many times."""

from collections.abc import Sequence

import numpy as np

from asr.audio import load_audio
from asr.decoding.decoder import Decoder
from asr.decoding.greedy import best_path
from asr.equalize import Equalizer, source_of
from asr.errors import TextError
from asr.recognition.transcriber import Transcriber
from asr.scoring.wer import Score, score
from asr.utterance import Utterance


class Validation:
    """A validation set: references, and log-probabilities `(S, V)` of each utterance.

    For a transducer, `log_probs` are encoder states `(S, D)`.
    """

    def __init__(self, recognizer: Transcriber, utterances: Sequence[Utterance]) -> None:
        """Compute the log-probabilities of every utterance.

        Raises AudioError for a recording that cannot be read, TextError if there is no word to score, and ConfigError
        for a model with an attention decoder, or with a transducer that cannot time words.
        """
        if not recognizer.reads_log_probs:
            recognizer.beam()  # raises ConfigError for an attention decoder
            recognizer.require_ctc()
        self.recognizer = recognizer
        self.references = [recognizer.normalizer(utterance.text or "") for utterance in utterances]
        if not any(self.references):
            raise TextError("the validation manifest has no texts; tuning needs the text of each recording")
        waveforms = [
            load_audio(u.audio, recognizer.sample_rate, offset=u.offset, duration=u.duration) for u in utterances
        ]
        if recognizer.equalizes:
            sources = list(map(source_of, utterances))
            equalizer = Equalizer(sources, waveforms.__getitem__, recognizer.sample_rate)
            waveforms = [equalizer(index, waveform) for index, waveform in enumerate(waveforms)]
        self.log_probs = [np.zeros((0, len(recognizer.units)), np.float32)] * len(utterances)
        for indices, rows in recognizer.frame_rows([len(w) for w in waveforms], waveforms.__getitem__):
            for index, row in zip(indices, rows, strict=True):
                self.log_probs[index] = row

    def score(self, decoder: Decoder | None, *, interval: bool = False) -> Score:
        """Decode with `decoder`, or without language models if it is None, and return the score."""
        if decoder is None and not self.recognizer.reads_log_probs:
            decoder = self.recognizer.beam()
        if decoder is not None:
            hypotheses = decoder.decode(self.log_probs)
        else:
            hypotheses = [best for row in self.log_probs for best in best_path(row[None], [len(row)])]
        texts = [self.recognizer.text(best.units) for best in hypotheses]
        return score(self.references, texts, interval=interval)
