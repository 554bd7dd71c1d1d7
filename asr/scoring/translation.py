"""BLEU and chrF of translations by sacrebleu, with the signatures that tell how they were computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from asr.errors import AsrError
from asr.extras import install_command

ScoreName = Literal["bleu", "chrf"]


@dataclass(frozen=True, slots=True)
class TranslationScore:
    """A score in 0..100, its line of a report, and how it was computed."""

    value: float
    line: str
    signature: str

    def __str__(self) -> str:
        return f"{self.line}; {self.signature}"


def translation_scores(references: Sequence[str], hypotheses: Sequence[str]) -> dict[ScoreName, TranslationScore]:
    """Return BLEU (Papineni et al. 2002) and chrF (Popović 2015), reported as Post 2018 asks.

    Raises AsrError if sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError:
        raise AsrError(
            f"BLEU and chrF need sacreBLEU, which is not installed: {install_command('translation')}"
        ) from None
    found: dict[ScoreName, TranslationScore] = {}
    metrics: tuple[tuple[ScoreName, BLEU | CHRF], ...] = (("bleu", BLEU()), ("chrf", CHRF()))
    for name, metric in metrics:
        score = metric.corpus_score(hypotheses, [references])
        found[name] = TranslationScore(float(score.score), str(score), str(metric.get_signature()))
    return found
