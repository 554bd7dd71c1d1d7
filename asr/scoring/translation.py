"""How good translations are: BLEU and chrF by sacrebleu, with the signatures that tell how they were computed."""

from collections.abc import Sequence

from asr.errors import AsrError


def translation_lines(references: Sequence[str], hypotheses: Sequence[str]) -> list[str]:
    """BLEU (Papineni et al. 2002) and chrF (Popović 2015) of a corpus, a line each, as Post 2018 asks to report them.

    Raises AsrError if sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError:
        raise AsrError("BLEU and chrF need sacrebleu, which is not installed: pip install sacrebleu") from None
    lines = []
    for metric in (BLEU(), CHRF()):
        score = metric.corpus_score(hypotheses, [references])
        lines.append(f"{score}; {metric.get_signature()}")
    return lines
