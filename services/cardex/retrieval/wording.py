"""What a report says, as words and phrases that can be compared with those of other reports."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from cardex.reports.normalise import clean_report

COHESION = 0.7
"""Words stay together where at least this share of the reports with either has them in a row."""
KNOWN = 10_000
"""Texts whose wording is kept: reports near to one ECG are near to many."""

Words = tuple[str, ...]
Gram = tuple[Words, int]
"""A word or two words in a row, and a number: 1 for the first time that the text has them."""

_SENTENCE_END = re.compile(r"(?<=[.;])\s+")
_NEGATIONS = {"no", "not", "kein", "keine", "ohne", "nicht", "ej", "ingen"}
_WORD = re.compile(r"[^\W_]+(?:[-/&][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Wording:
    """A text without boilerplate.

    Attributes:
        text: the text.
        words: its words in lower case.
        grams: its words and word pairs.
        sentences: its sentences; one where it has no full stops.
        stops: whether full stops end its phrases.
    """

    text: str
    words: Words
    grams: frozenset[Gram]
    sentences: Mapping[Words, str]
    stops: bool

    def says(self, words: Words) -> bool:
        """Return whether the words are a sentence of the text, or a run of one without full stops.

        Part of a sentence does not count: "infarct." is not what "no infarct." says.
        """
        if self.stops:
            return words in self.sentences
        if (words[:2], 1) not in self.grams:
            return False
        size = len(words)
        return any(
            self.words[first : first + size] == words
            and (not first or self.words[first - 1] not in _NEGATIONS)
            for first in range(len(self.words) - size + 1)
        )


@lru_cache(KNOWN)
def wording_of(text: str) -> Wording:
    """Return the wording of a report's text."""
    cleaned = clean_report(text)
    words = words_of(cleaned)
    sentences = {words_of(part): part for part in _SENTENCE_END.split(cleaned) if words_of(part)}
    stops = len(sentences) > 1 or cleaned.endswith(".")
    return Wording(cleaned, words, grams_of(words), sentences, stops)


@lru_cache(KNOWN)
def words_of(text: str) -> Words:
    """Return the words of a text in lower case."""
    return tuple(_WORD.findall(text.lower()))


@lru_cache(KNOWN)
def grams_of(words: Words) -> frozenset[Gram]:
    """Return the words and the pairs of words in a row."""
    counted: Counter[Words] = Counter()
    found = set()
    for gram in (*((word,) for word in words), *pairwise(words)):
        counted[gram] += 1
        found.add((gram, counted[gram]))
    return frozenset(found)


def phrases_of(wording: Wording, together: Counter[Gram]) -> Sequence[str]:
    """Return the sentences of a text, or where it has no full stops the words that stand together.

    Args:
        wording: the text.
        together: in how many of the reports that it is compared with each gram stands. Two
            neighbours stand together if they do so in `COHESION` of the reports with either.
    """
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
    """Return whether two neighbours belong to one phrase; a negation belongs to what it denies."""
    left, right = words_of(first)[-1:], words_of(second)[:1]
    if not left or not right or left[0] in _NEGATIONS:
        return True
    often = max(together[left, 1], together[right, 1])
    return together[left + right, 1] >= COHESION * often
