"""Comparison of decoders on equal log-probabilities and text: speed on one core, WER and CER.

    python bench/decode.py MODEL VALIDATION TEST TEXT [--peers PYTHON]

Ours: best path, the beam without and with language models (words and characters of TEXT, weights tuned on VALIDATION).
Peers: pyctcdecode with a word 3-gram and flashlight-text with a character 6-gram, both estimated from TEXT, their
weights chosen on VALIDATION from a grid. The peers need numpy 1, so PYTHON belongs to an environment of their own:

    uv venv peers && uv pip install --python peers/bin/python pyctcdecode flashlight-text kenlm 'numpy<2'

Prints a JSON line for each decoder; `times_real_time` is seconds of audio per second of processor time on one thread.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from asr.corpus.manifest import read_manifest
from asr.corpus.sentences import read_sentences
from asr.decoding.beam import Pruning
from asr.decoding.decoder import Decoder
from asr.decoding.greedy import best_path
from asr.lm.arpa import write_arpa
from asr.lm.estimate import estimate
from asr.recognition.recognizer import load
from asr.scoring.wer import score
from asr.tuning.ngrams import WIDTHS, models_of_text, search_settings
from asr.tuning.validation import Validation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("validation", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--peers", type=Path, help="the Python of an environment with pyctcdecode and flashlight-text")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recognizer = load(arguments.model, "cpu")
    recognizer.decoder = None
    validation, test = (Validation(recognizer, read_manifest(path)) for path in (arguments.validation, arguments.test))
    stride = recognizer.features.hop * recognizer.config.model.subsampling / recognizer.sample_rate
    seconds = stride * sum(map(len, test.log_probs))

    def report(name: str, spent: float, texts: list[str], **settings: object) -> None:
        result = score(test.references, texts)
        line = {"bench": "decode", "decoder": name, "times_real_time": round(seconds / spent), **settings}
        print(json.dumps({**line, "wer": str(result.wer), "cer": str(result.cer)}), flush=True)

    sentences = list(read_sentences([arguments.text], recognizer.normalizer))
    if arguments.peers:
        with tempfile.TemporaryDirectory() as folder:
            for line in run_peers(arguments.peers, Path(folder), validation, test, sentences):
                report(line.pop("decoder"), line.pop("seconds"), line.pop("texts"), **line)
    rows = [torch.from_numpy(log_probs)[None] for log_probs in test.log_probs]
    spent, units = timed(lambda: [best_path(row, torch.tensor([row.shape[1]]))[0].units for row in rows])
    report("best path", spent, [recognizer.text(one) for one in units])
    decoder = Decoder(recognizer.units, *models_of_text(sentences, recognizer.units))
    decode_one_thread(decoder, test.log_probs[:1])  # compiles
    spent, units = timed(lambda: decode_one_thread(decoder.using(pruning=Pruning(width=10)), test.log_probs))
    report("ours, no language model", spent, [recognizer.text(one) for one in units], width=10)
    *_, best = search_settings(validation, decoder)
    for width in WIDTHS:
        tuned = decoder.using(weights=best.weights, pruning=best.pruning._replace(width=width))
        spent, units = timed(lambda tuned=tuned: decode_one_thread(tuned, test.log_probs))  # type: ignore[misc]
        weights = {name: round(value, 3) for name, value in best.weights._asdict().items()}
        report("ours, words and characters", spent, [recognizer.text(one) for one in units], width=width, **weights)


def decode_one_thread(decoder: Decoder, log_probs: list[np.ndarray]) -> list[tuple[int, ...]]:
    search = decoder.search()
    results = []
    for one in log_probs:
        search.reset()
        search.feed(one)
        results.append(search.hypotheses()[0].units)
    return results


def timed(work: Callable[[], list]) -> tuple[float, list]:
    """Return the least processor time of three runs in seconds, and the result."""
    turns = []
    for _ in range(3):
        started = time.process_time()
        result = work()
        turns.append(time.process_time() - started)
    return min(turns), result


def run_peers(
    python: Path, folder: Path, validation: Validation, test: Validation, sentences: list[str]
) -> Iterator[dict]:
    write_arpa(folder / "words.arpa", estimate(sentences, order=3).model)
    write_arpa(folder / "characters.arpa", estimate(sentences, order=6, units="characters").model)
    np.savez(
        folder / "log_probs.npz",
        symbols=np.array(test.recognizer.units.symbols),
        words=np.array(sorted({word for sentence in sentences for word in sentence.split()})),
        validation=np.concatenate(validation.log_probs),
        validation_lengths=[len(one) for one in validation.log_probs],
        validation_texts=np.array(validation.references),
        test=np.concatenate(test.log_probs),
        test_lengths=[len(one) for one in test.log_probs],
    )
    script = Path(__file__).with_name("decode_peers.py")
    with subprocess.Popen([python, script, folder], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield from map(json.loads, process.stdout)
    if process.returncode:
        raise SystemExit(f"{script} failed with exit status {process.returncode}")


if __name__ == "__main__":
    main()
