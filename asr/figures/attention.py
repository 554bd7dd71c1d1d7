"""The picture of attention: where the decoder listens for each unit that it writes."""

from pathlib import Path

import torch

from asr.batching import pad
from asr.corpus.pack import PackedCorpus
from asr.figures.figures import draw_spectrum, median_utterance, plt
from asr.nn.attention import EncoderDecoder, pad_units
from asr.recognition.recognizer import Recognizer


@torch.inference_mode()
def attention_picture(path: str | Path, recognizer: Recognizer, corpus: PackedCorpus) -> None:
    """Draws one utterance of `corpus`: its spectrogram, and below it the alignment of what is heard.

    The utterance is the one of median length. A row of the alignment is a unit, from the first to the end of the text.
    """
    model = recognizer.acoustic_model
    assert isinstance(model, EncoderDecoder)
    index = median_utterance(corpus)
    utterance = corpus.utterances[index]
    samples = corpus.audio(index)
    states, lengths = recognizer.frames(*pad([samples]))
    (heard,) = recognizer.hypotheses(states, lengths)
    units, _ = pad_units([[heard.units]], recognizer.device)
    alignment = model.decoder(states, lengths, units)[1][0, 0].cpu().numpy()  # (M, S)

    labels = [recognizer.units.symbols[unit - 1].replace(" ", "␣") for unit in heard.units] + ["end"]
    figure, (spectrum, matrix) = plt.subplots(
        2, 1, figsize=(10, 4 + 0.14 * len(labels)), height_ratios=(2.5, 1 + 0.14 * len(labels)), sharex=True,
        layout="constrained",
    )  # fmt: skip
    draw_spectrum(spectrum, recognizer, samples)
    spectrum.set_title(f"“{utterance.text}”\nheard: “{recognizer.text(heard.units)}”", fontsize=10, loc="left")
    seconds = lengths.item() * recognizer.stride / recognizer.sample_rate
    matrix.imshow(
        alignment, aspect="auto", extent=(0, seconds, len(labels) - 0.5, -0.5), cmap="Blues", vmin=0,
        interpolation="nearest",
    )  # fmt: skip
    matrix.set_yticks(range(len(labels)), labels, fontsize=7)
    matrix.set(xlabel="seconds", ylabel="unit written")
    spectrum.set_xlim(0, len(samples) / recognizer.sample_rate)
    figure.suptitle(f"validation utterance {utterance.id}", fontsize=9, color="0.4", x=0.99, ha="right")
    figure.savefig(path, dpi=110)
    plt.close(figure)
