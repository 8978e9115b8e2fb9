"""The draft by sets and counters: slow and obvious, what the fast one is held against."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import chain

from cardex.domain.index import Hit
from cardex.domain.reports import Draft, DraftSentence
from cardex.retrieval.draft import RECALL, RECORDS, STEEPNESS, VOTERS
from cardex.retrieval.wording import (
    COHESION,
    NEGATIONS,
    Gram,
    Wording,
    Words,
    grams_of,
    wording_of,
    words_of,
)


def slow_draft_of(near: Sequence[Hit], shown: int) -> Draft | None:
    similar = [hit for hit in near[: max(VOTERS, shown)] if hit.score > 0.0]
    voices = [(hit, wording_of(hit.report.text), _weight(hit, similar)) for hit in similar]
    voices = [voice for voice in voices if voice[1].words]
    ids = {hit.report.report_id for hit in near[:shown]}
    hits = [voice for voice in voices if voice[0].report.report_id in ids]
    if not hits:
        return None
    together: Counter[Gram] = Counter()
    for _, wording, _ in voices:
        together.update(grams_of(wording.words))
    whole = [{words_of(t): t for t in _phrases(wording, together)} for _, wording, _ in hits]
    borne = [{w: t for w, t in said.items() if _records(w, voices) >= RECORDS} for said in whole]
    chosen = max(
        [said for said in borne if said] or whole,
        key=lambda said: _agreement(tuple(chain.from_iterable(said)), voices),
    )
    sentences = [
        DraftSentence(text, tuple(hit.report.report_id for hit, w, _ in hits if w.says(words)))
        for words, text in chosen.items()
    ]
    return Draft(tuple(sentences))


def _weight(hit: Hit, similar: Sequence[Hit]) -> float:
    highest, lowest = max(h.score for h in similar), min(h.score for h in similar)
    steepness = STEEPNESS / max(highest - lowest, 1e-9)
    return max(1, hit.report.record_count) * math.exp(steepness * (hit.score - highest))


def _records(words: Words, voices: Sequence[tuple[Hit, Wording, float]]) -> int:
    return sum(max(1, hit.report.record_count) for hit, wording, _ in voices if wording.says(words))


def _agreement(words: Words, voices: Sequence[tuple[Hit, Wording, float]]) -> float:
    own, total = grams_of(words), 0.0
    for _, wording, weight in voices:
        other = grams_of(wording.words)
        length = RECALL * len(other) + (1.0 - RECALL) * len(own)
        total += weight * len(own & other) / length
    return total


def _phrases(wording: Wording, together: Counter[Gram]) -> Sequence[str]:
    if wording.stops:
        return tuple(wording.sentences.values())
    phrases: list[list[str]] = []
    for word in wording.text.split():
        if phrases and _holds(phrases[-1][-1], word, together):
            phrases[-1].append(word)
        else:
            phrases.append([word])
    texts = [" ".join(phrase) for phrase in phrases]
    return [text for text in texts if words_of(text)]


def _holds(first: str, second: str, together: Counter[Gram]) -> bool:
    left, right = words_of(first)[-1:], words_of(second)[:1]
    if not left or not right or left[0] in NEGATIONS:
        return True
    often = max(together[left, 1], together[right, 1])
    return together[left + right, 1] >= COHESION * often
