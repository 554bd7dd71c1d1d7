"""The picture of attention: the encoder frames that the decoder attends to for each unit that it writes."""

from pathlib import Path

import torch

from asr.batching import pad
from asr.corpus.pack import PackedCorpus
from asr.figures.fonts import drawable
from asr.figures.style import drawing
from asr.figures.utterance import draw_spectrogram, draw_title, median_utterance
from asr.nn.attention import EncoderDecoder, pad_units
from asr.recognition.recognizer import Recognizer


@torch.inference_mode()
def attention_picture(path: str | Path, recognizer: Recognizer, corpus: PackedCorpus) -> None:
    """Draw the utterance of median length of `corpus`: its spectrogram, and below it the attention of its hypothesis.

    Each row of the attention matrix is a unit of the hypothesis; the last row is the end of the text.
    """
    model = recognizer.acoustic_model
    assert isinstance(model, EncoderDecoder)
    index = median_utterance(corpus)
    samples = corpus.audio(index)
    states, lengths = recognizer.frames(*pad([samples]))
    (hypothesis,) = recognizer.hypotheses(states, lengths)
    units, _ = pad_units([[hypothesis.units]], recognizer.device)
    alignment = model.decoder(states, lengths, units)[1][0, 0].cpu().numpy()  # (M, S)

    symbols = [recognizer.units.symbols[unit - 1].replace(" ", "␣") for unit in hypothesis.units]
    labels, style = drawable([*symbols, "end"])
    with drawing(path, (10, 4 + 0.14 * len(labels))) as figure:
        spectrogram, matrix = figure.subplots(2, 1, height_ratios=(2.5, 1 + 0.14 * len(labels)), sharex=True)
        draw_spectrogram(spectrogram, recognizer, samples)
        draw_title(figure, spectrogram, corpus.utterances[index], recognizer.text(hypothesis.units))
        seconds = lengths.item() * recognizer.stride / recognizer.sample_rate
        matrix.imshow(
            alignment, aspect="auto", extent=(0, seconds, len(labels) - 0.5, -0.5), cmap="Blues", vmin=0,
            interpolation="nearest",
        )  # fmt: skip
        matrix.set_yticks(range(len(labels)), labels, fontsize=7, **style)
        matrix.set(xlabel="seconds", ylabel="unit of the hypothesis")
        spectrogram.set_xlim(0, len(samples) / recognizer.sample_rate)
