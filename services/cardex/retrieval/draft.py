"""A draft report: what the nearest reports agree on, in the words that they use.

The draft starts from the medoid, the report most like all the others (minimum Bayes risk over the
hits), keeps those of its phrases that other records bear too, and takes in what enough of the hits
say beside it.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import sqrt

from cardex.domain.reports import Draft, DraftSentence, Hit
from cardex.reports.normalise import clean_report

VOTERS = 10
"""How many hits are used: farther ones made drafts less like the true reports, and cost time."""
KEPT = 0.1
"""Smallest share of the hits that keeps a phrase of the medoid."""
ADDED = 0.15
"""Smallest share of the hits that brings a phrase in from beside the medoid."""
RECORDS = 2
"""How many records have to bear a phrase: what only one says may hold for that patient alone."""
COHESION = 0.7
"""Words stay together where at least this share of the hits with either has them in a row."""
KNOWN = 10_000
"""Texts whose words are kept: reports near to one ECG are near to many."""

_SENTENCE_END = re.compile(r"(?<=[.;])\s+")
_NEGATIONS = {("no",), ("not",), ("kein",), ("keine",), ("ohne",), ("nicht",), ("ej",), ("ingen",)}
_WORD = re.compile(r"[^\W_]+(?:[-/&][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class _Voice:
    """One hit as it votes: its weight, its text as words, and its phrases.

    Attributes:
        stops: whether full stops end its phrases.
        records: how many bear the text.
    """

    report_id: str
    weight: float
    words: tuple[str, ...]
    phrases: tuple[str, ...]
    stops: bool
    records: int

    def says(self, words: tuple[str, ...]) -> bool:
        """Return whether the words are a sentence of the text, or a run of one without full stops.

        Part of a sentence does not count: "infarct." is not what "no infarct." says.
        """
        if self.stops:
            return any(_words(phrase) == words for phrase in self.phrases)
        return any(
            self.words[max(0, first - 1) : first] not in _NEGATIONS
            for first in _runs(words, self.words)
        )


def draft_of(hits: Sequence[Hit]) -> Draft | None:
    """Return the draft that the hits support, None where no hit is similar and has words.

    A hit's weight is its similarity times the root of how many records bear its text. Only the
    first `VOTERS`, and of those the ones in the language of most, have a say. A phrase from beside
    the medoid comes in only if, for each phrase that is in already, some hit says both: phrases
    that never stand together may contradict each other. Where the hits agree on nothing, the
    medoid is the draft.
    """
    voices = _voices(hits[:VOTERS])
    if not voices:
        return None
    medoid = max(voices, key=lambda voice: _agreement(voice, voices))
    total = sum(voice.weight for voice in voices)
    chosen: dict[tuple[str, ...], tuple[str, list[_Voice]]] = {}
    for phrase, least in _candidates(medoid, voices):
        words = _words(phrase)
        behind = [voice for voice in voices if voice.says(words)]
        share = sum(voice.weight for voice in behind) / total
        borne = sum(voice.records for voice in behind) >= RECORDS
        if borne and share >= least and _fits(words, behind, chosen):
            chosen[words] = (phrase, behind)
    if not chosen:
        chosen = {_words(phrase): (phrase, [medoid]) for phrase in medoid.phrases}
    ordered = sorted(chosen.values(), key=lambda item: _place(_words(item[0]), item[1]))
    return Draft(
        tuple(
            DraftSentence(phrase, tuple(voice.report_id for voice in behind))
            for phrase, behind in ordered
        )
    )


def _voices(hits: Sequence[Hit]) -> list[_Voice]:
    """Return the hits in the language of most, without boilerplate; empty ones are left out."""
    records = {hit.report.report_id: max(1, hit.report.record_count) for hit in hits}
    weights = {
        hit.report.report_id: max(0.0, hit.score) * sqrt(records[hit.report.report_id])
        for hit in hits
    }
    language = _language(hits, weights)
    texts = {
        hit.report.report_id: _cleaned(hit.report.text)
        for hit in hits
        if hit.report.language == language and weights[hit.report.report_id] > 0.0
    }
    words = {report_id: _words(text) for report_id, text in texts.items()}
    cohesion = _Cohesion(list(words.values()))
    return [
        _Voice(
            report_id,
            weights[report_id],
            words[report_id],
            tuple(_sentences(text) if _stops(text) else _pieces(text, cohesion)),
            _stops(text),
            records[report_id],
        )
        for report_id, text in texts.items()
        if words[report_id]
    ]


def _language(hits: Sequence[Hit], weights: dict[str, float]) -> str:
    """Return the language in which the hits say most."""
    votes: defaultdict[str, float] = defaultdict(float)
    for hit in hits:
        votes[hit.report.language] += weights[hit.report.report_id]
    return max(votes, key=lambda language: votes[language], default="")


@lru_cache(KNOWN)
def _cleaned(text: str) -> str:
    return clean_report(text)


@lru_cache(KNOWN)
def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.lower()))


class _Cohesion:
    """How often words stand in a row, among a few texts."""

    def __init__(self, texts: Sequence[tuple[str, ...]]) -> None:
        self._single: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()
        for words in texts:
            self._single.update(set(words))
            self._pairs.update(set(pairwise(words)))

    def holds(self, first: str, second: str) -> bool:
        """Return whether two neighbours belong to one phrase."""
        left, right = _words(first)[-1:], _words(second)[:1]
        if not left or not right:
            return True
        often = max(self._single[left[0]], self._single[right[0]])
        return self._pairs[left[0], right[0]] >= COHESION * often


def _sentences(text: str) -> list[str]:
    return [part for part in _SENTENCE_END.split(text) if _words(part)]


def _stops(text: str) -> bool:
    return len(_sentences(text)) > 1 or text.endswith(".")


def _pieces(text: str, cohesion: _Cohesion) -> list[str]:
    """Split a text without full stops where the hits do not hold words together."""
    phrases: list[list[str]] = []
    for word in text.split():
        if phrases and cohesion.holds(phrases[-1][-1], word):
            phrases[-1].append(word)
        else:
            phrases.append([word])
    return [" ".join(phrase) for phrase in phrases]


def _agreement(voice: _Voice, voices: Sequence[_Voice]) -> float:
    """Return how much of all texts this one shares: weighted F1 of words and word pairs."""
    return sum(other.weight * _f1(voice.words, other.words) for other in voices)


@lru_cache(KNOWN)
def _grams(words: tuple[str, ...]) -> Counter[tuple[str, ...]]:
    return Counter([*((word,) for word in words), *pairwise(words)])


@lru_cache(KNOWN)
def _f1(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    first, second = _grams(one), _grams(other)
    return 2.0 * (first & second).total() / (first.total() + second.total())


def _candidates(medoid: _Voice, voices: Sequence[_Voice]) -> list[tuple[str, float]]:
    """Return phrases and the share each needs: the medoid's, then the others', nearest first."""
    own = [(phrase, KEPT) for phrase in medoid.phrases]
    others = [(phrase, ADDED) for voice in voices for phrase in voice.phrases]
    return own + others


def _fits(
    words: tuple[str, ...],
    behind: Sequence[_Voice],
    chosen: dict[tuple[str, ...], tuple[str, list[_Voice]]],
) -> bool:
    """Return whether a phrase says something new that some hit says beside each phrase chosen."""
    said = {word for phrase in chosen for word in phrase}
    if not words or set(words) <= said:
        return False
    speakers = {voice.report_id for voice in behind}
    return all(speakers & {voice.report_id for voice in others} for _, others in chosen.values())


def _place(words: tuple[str, ...], behind: Sequence[_Voice]) -> float:
    """Return where a phrase usually stands in the texts with it: 0 at the start, 1 at the end."""
    total = sum(voice.weight for voice in behind)
    return sum(v.weight * next(_runs(words, v.words)) / len(v.words) for v in behind) / total


def _runs(words: tuple[str, ...], text: tuple[str, ...]) -> Iterator[int]:
    """Yield where the words stand in a row."""
    for first in range(len(text) - len(words) + 1):
        if text[first : first + len(words)] == words:
            yield first
