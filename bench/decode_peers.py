"""The peers of bench/decode.py, which says how to install them: pyctcdecode and flashlight-text. No import of asr."""

import itertools
import json
import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from flashlight.lib.text.decoder import CriterionType, LexiconFreeDecoder, LexiconFreeDecoderOptions
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary
from pyctcdecode import build_ctcdecoder

BEAM = 50
Decode = Callable[[np.ndarray], str]
Candidate = tuple[dict[str, float], Decode]


def main() -> None:
    folder = Path(sys.argv[1])
    logging.disable(logging.WARNING)
    data = np.load(folder / "log_probs.npz")
    validation, test = (
        np.split(data[name], np.cumsum(data[f"{name}_lengths"])[:-1]) for name in ("validation", "test")
    )
    references = [str(text).split() for text in data["validation_texts"]]
    symbols = [str(symbol) for symbol in data["symbols"]]
    for name, candidates in (
        (
            f"pyctcdecode {version('pyctcdecode')}",
            pyctcdecode_candidates(folder, symbols, list(map(str, data["words"]))),
        ),
        (f"flashlight-text {version('flashlight-text')}", flashlight_candidates(folder, symbols)),
    ):
        chosen = min(candidates, key=lambda candidate: word_errors(references, candidate[1], validation))
        started = time.process_time()
        texts = [" ".join(chosen[1](log_probs).split()) for log_probs in test]
        spent = time.process_time() - started
        print(json.dumps({"decoder": name, "seconds": spent, "texts": texts, "beam": BEAM, **chosen[0]}), flush=True)


def pyctcdecode_candidates(folder: Path, symbols: list[str], words: list[str]) -> list[Candidate]:
    candidates: list[Candidate] = []
    for alpha, beta, unknown in itertools.product((0.6, 0.8), (0.0, 1.0), (-14.0, -8.0)):
        decoder = build_ctcdecoder(
            ["", *symbols],
            str(folder / "words.arpa"),
            words,
            alpha=alpha,
            beta=beta,
            unk_score_offset=unknown,
        )
        candidates.append(
            ({"alpha": alpha, "beta": beta, "unknown": unknown}, partial(decoder.decode, beam_width=BEAM))
        )
    return candidates


def flashlight_candidates(folder: Path, symbols: list[str]) -> list[Candidate]:
    tokens = Dictionary(["<blank>", *("<space>" if symbol == " " else symbol for symbol in symbols)])
    model = KenLM(str(folder / "characters.arpa"), tokens)
    candidates: list[Candidate] = []
    for weight, silence in itertools.product((0.5, 0.8, 1.1), (0.0, 1.0)):
        options = LexiconFreeDecoderOptions(
            beam_size=BEAM,
            beam_size_token=20,
            beam_threshold=25.0,
            lm_weight=weight,
            sil_score=silence,
            log_add=True,
            criterion_type=CriterionType.CTC,
        )
        decoder = LexiconFreeDecoder(options, model, tokens.get_index("<space>"), 0, [])

        def decode(log_probs: np.ndarray, decoder: LexiconFreeDecoder = decoder) -> str:
            log_probs = np.ascontiguousarray(log_probs, np.float32)
            best = decoder.decode(log_probs.ctypes.data, *log_probs.shape)[0]
            units = [unit for unit, _ in itertools.groupby(best.tokens) if unit > 0]
            return "".join(symbols[unit - 1] for unit in units if unit <= len(symbols))

        candidates.append(({"lm_weight": weight, "sil_score": silence}, decode))
    return candidates


def word_errors(references: list[list[str]], decode: Decode, log_probs: list[np.ndarray]) -> int:
    return sum(
        edit_distance(reference, decode(one).split()) for reference, one in zip(references, log_probs, strict=True)
    )


def edit_distance(reference: list[str], hypothesis: list[str]) -> int:
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, start=1):
        previous, row = row, [i]
        for j, found in enumerate(hypothesis, start=1):
            row.append(min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (expected != found)))
    return row[-1]


if __name__ == "__main__":
    main()
