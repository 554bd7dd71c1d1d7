"""BLEU and chrF of translations by sacrebleu, with the signatures that tell how they were computed."""

from collections.abc import Sequence

from asr.errors import AsrError
from asr.extras import install_command


def translation_lines(references: Sequence[str], hypotheses: Sequence[str]) -> list[str]:
    """Return a line with BLEU (Papineni et al. 2002) and a line with chrF (Popović 2015), reported as Post 2018 asks.

    Raises AsrError if sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError:
        raise AsrError(
            f"BLEU and chrF need sacreBLEU, which is not installed: {install_command('translation')}"
        ) from None
    lines = []
    for metric in (BLEU(), CHRF()):
        score = metric.corpus_score(hypotheses, [references])
        lines.append(f"{score}; {metric.get_signature()}")
    return lines
