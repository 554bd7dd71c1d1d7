"""Beam search over an attention decoder, for all utterances of a batch at once, and joint decoding with CTC.

Joint decoding (Watanabe et al. 2017, https://arxiv.org/abs/1609.06773) is by rescoring. The best texts of both searches
get the exact scores of both models, summed over all paths of CTC. So no text is ranked by an approximation, but a text
that neither search finds is missed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from asr.decoding.hypothesis import Hypothesis
from asr.nn.attention import END, AttentionDecoder, EncoderDecoder, attention_loss, pad_units
from asr.nn.ctc import ctc_loss
from asr.text import Units

WIDTH = 8  # texts kept after each unit, and texts that the CTC search proposes


def decode(
    model: EncoderDecoder, states: Tensor, lengths: Tensor, log_probs: Tensor | None, units: Units
) -> list[Hypothesis]:
    """Decode encoder `states (B, S, D)` with `lengths (B,)` into the best text of each utterance.

    With CTC's `log_probs (B, S, V)`, the texts of both searches are rescored jointly (`rescore`). Without, the best
    text of `search` is taken.
    """
    found = search(model.decoder, states, lengths)
    if log_probs is None:
        return [best for best, *_ in found]
    from asr.decoding.decoder import Decoder  # imports numba, which attention alone does not need

    rows = [row[:length] for row, length in zip(log_probs.cpu().numpy(), lengths.tolist(), strict=True)]
    proposed = Decoder(units).decode_n_best(rows, WIDTH)
    texts = [list(dict.fromkeys(one.units for one in [*a, *c])) for a, c in zip(found, proposed, strict=True)]
    return rescore(model.decoder, states, log_probs, lengths, texts, model.ctc_weight)


@torch.inference_mode()
def search(decoder: AttentionDecoder, states: Tensor, lengths: Tensor, width: int = WIDTH) -> list[list[Hypothesis]]:
    """Search the most probable texts of each utterance, best first: states `(B, S, D)`, lengths `(B,)`.

    A text ends when its end is in the beam, and at the latest after as many units as the utterance has frames, which is
    the limit of CTC. Ended texts stay in the beam, and the search ends when all texts in the beam have ended.
    """
    batch = torch.arange(len(states), device=states.device)[:, None]
    memory, state = decoder.remember(states, lengths), decoder.start(states, width)
    longest = memory.mask.sum(dim=1)[:, None]
    scores = torch.full((len(states), width), -torch.inf, device=states.device)
    scores[:, 0] = 0.0  # all K entries are equal at first, so only one may be extended
    units = torch.full((len(states), width, 1), END, device=states.device)
    ended = torch.zeros_like(scores, dtype=torch.bool)
    while not ended.all():
        log_probs, state = decoder.step(units[:, :, -1], state, memory)  # (B, K, V)
        log_probs[ended] = 0.0  # an ended text keeps its score
        log_probs[..., END + 1 :][ended | (units.shape[2] > longest)] = -torch.inf
        extended = (scores[..., None] + log_probs).nan_to_num(nan=-torch.inf, neginf=-torch.inf)  # NaN would never end
        scores, best = extended.flatten(1).topk(width)
        parent, unit = best // log_probs.shape[-1], best % log_probs.shape[-1]
        units = torch.cat([units[batch, parent], unit[..., None]], dim=2)
        state = type(state)(*(part[batch, parent] for part in state))
        ended = (unit == END) | scores.isneginf()
    return [
        [
            Hypothesis(tuple(unit for unit in row if unit != END), score)
            for row, score in zip(rows, values, strict=True)
            if score > -torch.inf
        ]
        or [Hypothesis((), -torch.inf)]
        for rows, values in zip(units.tolist(), scores.tolist(), strict=True)
    ]


@torch.inference_mode()
def rescore(
    decoder: AttentionDecoder,
    states: Tensor,
    log_probs: Tensor,
    lengths: Tensor,
    texts: Sequence[Sequence[tuple[int, ...]]],
    ctc_weight: float,
) -> list[Hypothesis]:
    """Choose the text of each utterance with the highest `w * log p_ctc + (1 - w) * log p_attention`; w: `ctc_weight`.

    Encoder states `(B, S, D)`, log-probabilities `(B, S, V)` of CTC, lengths `(B,)`.
    """
    counts = [len(row) for row in texts]
    rows = [[*row, *[()] * (max(counts) - len(row))] for row in texts]
    units, mask = pad_units(rows, states.device)
    attention = -attention_loss(decoder(states, lengths, units)[0], units, mask)  # (B, K)
    utterance = torch.arange(len(texts)).repeat_interleave(torch.tensor(counts)).to(states.device)
    ctc = -ctc_loss(log_probs[utterance], lengths[utterance], [text for row in texts for text in row])
    best = []
    for row, by_attention, by_ctc in zip(texts, attention.tolist(), ctc.split(counts), strict=True):
        scores = [
            ctc_weight * one + (1 - ctc_weight) * other
            for one, other in zip(by_ctc.tolist(), by_attention, strict=False)
        ]
        place = max(range(len(row)), key=scores.__getitem__)
        best.append(Hypothesis(row[place], scores[place]))
    return best
