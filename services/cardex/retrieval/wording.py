"""What a report says, as words and phrases that can be compared with those of other reports."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cardex.reports.normalise import clean_report

COHESION = 0.7
"""Words stay together where at least this share of the reports with either has them in a row."""
KNOWN = 10_000
"""Texts whose wording is kept: reports near to one ECG are near to many."""

Words = tuple[str, ...]
Gram = tuple[Words, int]
"""A word or two words in a row, and a number: 1 for the first time that the text has them."""

_SENTENCE_END = re.compile(r"(?<=[.;])\s+")
NEGATIONS = {"no", "not", "kein", "keine", "ohne", "nicht", "ej", "ingen"}
_WORD = re.compile(r"[^\W_]+(?:[-/&][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Wording:
    """A text without boilerplate.

    Attributes:
        text: the text.
        words: its words in lower case.
        grams: hashes of its words and word pairs, (grams,) int64.
        sentences: its sentences; one where it has no full stops.
        stops: whether full stops end its phrases.
        joints: where it has no full stops, what tells whether its parts stand together.
    """

    text: str
    words: Words
    grams: NDArray[np.int64]
    sentences: Mapping[Words, str]
    stops: bool
    joints: "Joints | None"

    def says(self, words: Words) -> bool:
        """Return whether the words are a sentence of the text, or a run of one without full stops.

        Part of a sentence does not count: "infarct." is not what "no infarct." says.
        """
        if self.stops:
            return words in self.sentences
        size = len(words)
        return any(
            self.words[first : first + size] == words
            and (not first or self.words[first - 1] not in NEGATIONS)
            for first in range(len(self.words) - size + 1)
            if self.words[first] == words[0]
        )


@lru_cache(KNOWN)
def wording_of(text: str) -> Wording:
    """Return the wording of a report's text."""
    cleaned = clean_report(text)
    words = words_of(cleaned)
    sentences = {words_of(part): part for part in _SENTENCE_END.split(cleaned) if words_of(part)}
    stops = len(sentences) > 1 or cleaned.endswith(".")
    joints = None if stops else _joints(cleaned.split())
    return Wording(cleaned, words, gram_hashes(words), sentences, stops, joints)


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


@lru_cache(KNOWN)
def gram_hashes(words: Words) -> NDArray[np.int64]:
    """Return a hash of each of `grams_of`, (grams,); they hold within this process."""
    return _hashes(list(grams_of(words)))


def _hashes(grams: Sequence[Gram]) -> NDArray[np.int64]:
    return np.fromiter(map(hash, grams), dtype=np.int64, count=len(grams))


@dataclass(frozen=True, slots=True)
class Joints:
    """Between each two parts of a text: which words meet there.

    Attributes:
        parts: the text at its blanks.
        grams: (3, parts - 1) hashes of the word before, the word after, and the pair.
        tied: (parts - 1,) where the parts stand together whatever others write: a negation and what
            it denies, or a part without words.
    """

    parts: list[str]
    grams: NDArray[np.int64]
    tied: NDArray[np.bool_]


def _joints(parts: list[str]) -> Joints:
    said = [words_of(part) for part in parts]
    met = [(before[-1:], after[:1]) for before, after in pairwise(said)]
    grams = [[(left, 1), (right, 1), (left + right, 1)] for left, right in met]
    tied = [not left or not right or left[0] in NEGATIONS for left, right in met]
    hashes = [_hashes(each) for each in zip(*grams, strict=True)] or np.empty((3, 0))
    return Joints(parts, np.array(hashes, dtype=np.int64), np.array(tied, dtype=np.bool_))


class Company:
    """Several texts, and which of them have which grams."""

    def __init__(self, wordings: Sequence[Wording]) -> None:
        """Count the grams of at least one text."""
        sizes = [len(wording.grams) for wording in wordings]
        grams = np.concatenate([wording.grams for wording in wordings])
        self._grams, places = np.unique(grams, return_inverse=True)
        self._often = np.bincount(places)
        self._has = np.zeros((len(wordings), len(self._grams)), dtype=np.float32)
        self._has[np.repeat(np.arange(len(sizes)), sizes), places] = 1.0
        self.sizes = np.array(sizes)
        """How many grams each text has, (texts,)."""

    def shared(self, several: Sequence[Words]) -> NDArray[np.float32]:
        """Return how many grams each text has in common with each of some words, (words, texts)."""
        hashes = [gram_hashes(words) for words in several]
        places, known = self._places(np.concatenate(hashes))
        rows = np.repeat(np.arange(len(several)), [len(each) for each in hashes])
        asked = np.zeros((len(several), len(self._grams)), dtype=np.float32)
        asked[rows[known], places[known]] = 1.0
        found: NDArray[np.float32] = asked @ self._has.T
        return found

    def may_say(self, several: Sequence[Words]) -> NDArray[np.bool_]:
        """Return which texts have all grams of some words, (words, texts): no other says them."""
        sizes = np.array([len(gram_hashes(words)) for words in several])
        return np.asarray(self.shared(several) >= sizes[:, None])

    def phrases(self, wording: Wording) -> Mapping[Words, str]:
        """Return the sentences of one of the texts, or without full stops what stands together.

        Two neighbours stand together if they do so in `COHESION` of the texts with either.
        """
        if wording.joints is None:
            return wording.sentences
        joints = wording.joints
        left, right, both = self._count(joints.grams)
        holds = joints.tied | (both >= COHESION * np.maximum(left, right))
        phrases = [joints.parts[:1]]
        for part, held in zip(joints.parts[1:], holds.tolist(), strict=True):
            if held:
                phrases[-1].append(part)
            else:
                phrases.append([part])
        texts = [" ".join(phrase) for phrase in phrases]
        return {words: text for text in texts if (words := words_of(text))}

    def _count(self, grams: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return in how many texts each gram stands."""
        places, known = self._places(grams)
        return np.where(known, self._often[places], 0)

    def _places(self, grams: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        places = np.minimum(np.searchsorted(self._grams, grams), len(self._grams) - 1)
        return places, self._grams[places] == grams
