"""A draft report: what one of the hits says, as far as other records say it too.

It is chosen by minimum Bayes risk. Each of the nearest reports may be what the true one says, and
is as likely as its weight; the draft is the hit that is expected to agree most with the true one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from cardex.domain.index import Hit
from cardex.domain.reports import Draft, DraftSentence
from cardex.retrieval.wording import Company, Wording, Words, gram_hashes, wording_of

VOTERS = 50
"""How many of the nearest reports have a say; more changed little and cost time."""
STEEPNESS = 9.0
"""The most similar report weighs e to this power as much as the least similar one that has a say,
where both are borne by as many records."""
RECALL = 0.95
"""Weight of recall against precision in the agreement of two texts."""
RECORDS = 2
"""How many records have to bear a phrase: what only one says may hold for that patient alone."""


@dataclass(frozen=True, slots=True)
class _Voice:
    """One of the nearest reports as it votes.

    Attributes:
        report_id: its id.
        wording: its words.
        weight: how likely the true report says the same.
        records: how many records bear it.
    """

    report_id: str
    wording: Wording
    weight: float
    records: int


def draft_of(near: Sequence[Hit], shown: int) -> Draft | None:
    """Return a draft in the words of one hit, None where no hit is similar and has words.

    Args:
        near: the nearest reports, the answer's hits first. The first `VOTERS` have a say.
        shown: how many of them are the answer's hits. The draft is taken from one of these, and
            only these are named as what is behind a sentence.

    Returns:
        Of each hit the phrases that at least `RECORDS` records bear are taken; the draft is the one
        that agrees most with all reports that have a say. Where no phrase is left, it is the whole
        hit that agrees most.
    """
    voices = _voices(near[: max(VOTERS, shown)])
    ids = {hit.report.report_id for hit in near[:shown]}
    hits = [voice for voice in voices if voice.report_id in ids]
    if not hits:
        return None
    company = Company([voice.wording for voice in voices])
    whole = [company.phrases(hit.wording) for hit in hits]
    phrases = list(dict.fromkeys(chain.from_iterable(whole)))
    known = {
        words: _borne(words, [voices[place] for place in np.flatnonzero(may)])
        for words, may in zip(phrases, company.may_say(phrases), strict=True)
    }
    borne = [{words: text for words, text in said.items() if known[words]} for said in whole]
    choices = [said for said in borne if said] or whole
    chosen = choices[
        _most_agreeing([tuple(chain.from_iterable(c)) for c in choices], company, voices)
    ]
    return Draft(
        tuple(
            DraftSentence(text, tuple(hit.report_id for hit in hits if hit.wording.says(words)))
            for words, text in chosen.items()
        )
    )


def _voices(near: Sequence[Hit]) -> list[_Voice]:
    """Return the reports that are similar and have words.

    A report's weight falls with its similarity, and rises with the number of its records: a text is
    the more likely the more often it was written.
    """
    similar = [hit for hit in near if hit.said > 0.0]
    if not similar:
        return []
    highest, lowest = max(hit.said for hit in similar), min(hit.said for hit in similar)
    steepness = STEEPNESS / max(highest - lowest, 1e-9)
    voices = []
    for hit in similar:
        records = max(1, hit.report.record_count)
        weight = records * math.exp(steepness * (hit.said - highest))
        voices.append(_Voice(hit.report.report_id, wording_of(hit.report.text), weight, records))
    return [voice for voice in voices if voice.wording.words]


def _borne(words: Words, voices: Sequence[_Voice]) -> bool:
    """Return whether at least `RECORDS` records say these words."""
    records = 0
    for voice in voices:
        if voice.wording.says(words):
            records += voice.records
            if records >= RECORDS:
                return True
    return False


def _most_agreeing(texts: Sequence[Words], company: Company, voices: Sequence[_Voice]) -> int:
    """Return the place of the text whose weighted sum of agreement with the reports is largest.

    Two texts agree by the weighted harmonic mean of precision and recall, as in METEOR, of their
    words and word pairs.
    """
    sizes = np.array([len(gram_hashes(words)) for words in texts])
    lengths = RECALL * company.sizes + (1.0 - RECALL) * sizes[:, None]  # (texts, reports)
    weights = np.array([voice.weight for voice in voices])
    return int(np.argmax((company.shared(texts) / lengths) @ weights))
