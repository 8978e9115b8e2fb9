"""Compares drafted reports with true ones: BLEU, ROUGE-L, METEOR, statement F1."""

import re
from collections.abc import Sequence

import numpy as np
from nltk.stem.porter import PorterStemmer
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu
from nltk.translate.meteor_score import single_meteor_score
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer

ORDERS = 4

_WORD = re.compile(r"\w+")
_SMOOTHING = SmoothingFunction().method1
_STEMMER = PorterStemmer()


def words(text: str) -> list[str]:
    """Split a text into lower-case words and numbers of any alphabet; punctuation is dropped.

    The tokenizer of rouge-score keeps a to z alone: it would cut "ischämie" into "isch" and "mie".
    """
    return _WORD.findall(text.lower())


class _Words:
    """Implements the tokenizer that rouge-score takes."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


class _NoSynonyms:
    """Replaces WordNet in METEOR: it would have to be downloaded, and has no German."""

    def synsets(self, _word: str) -> list[object]:
        return []


_ROUGE = RougeScorer(["rougeL"], tokenizer=_Words())
_SYNONYMS = _NoSynonyms()


def score(drafts: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
    """Compare drafts with true reports, one truth a draft.

    - `bleu_1` to `bleu_4` (Papineni 2002): of the corpus, with uniform weights up to that order and
      brevity penalty. An order without any match counts 0.1 matches (method 1 of Chen and Cherry
      2014), so that the geometric mean is not 0; nothing changes where every order has a match.
      A draft of fewer words than the order counts as one n-gram without a match, as in nltk.
    - `rouge_l` (Lin 2004): F1 of the longest common subsequence, mean over the drafts.
    - `meteor` (Lavie and Agarwal 2007: alpha 0.9, beta 3, gamma 0.5), mean over the drafts. Words
      match if they or their Porter stems are equal. Synonyms do not count, so the figure is a lower
      bound of the one with WordNet.

    Args:
        drafts: the drafted reports.
        truths: the true report of each draft, in the same order.

    Returns:
        Figures in per cent by name.

    Raises:
        ValueError: if there is no draft, or the lengths differ.
    """
    if not drafts or len(drafts) != len(truths):
        raise ValueError(f"{len(drafts)} drafts and {len(truths)} truths: needs one truth a draft")
    made, true = [words(text) for text in drafts], [words(text) for text in truths]
    figures = _bleu(made, true)
    figures["rouge_l"] = float(
        np.mean([_rouge_l(*pair) for pair in zip(drafts, truths, strict=True)])
    )
    figures["meteor"] = float(np.mean([_meteor(*pair) for pair in zip(made, true, strict=True)]))
    return {name: 100.0 * value for name, value in figures.items()}


def _bleu(made: list[list[str]], true: list[list[str]]) -> dict[str, float]:
    weights = [(1.0 / order,) * order for order in range(1, ORDERS + 1)]
    found = corpus_bleu([[text] for text in true], made, weights, smoothing_function=_SMOOTHING)
    return {f"bleu_{order}": float(value) for order, value in enumerate(found, start=1)}


def _rouge_l(draft: str, truth: str) -> float:
    return float(_ROUGE.score(truth, draft)["rougeL"].fmeasure)


def _meteor(made: list[str], true: list[str]) -> float:
    return float(single_meteor_score(true, made, stemmer=_STEMMER, wordnet=_SYNONYMS))


def statement_f1(drafted: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Return the micro F1 of statements in per cent: 2 TP / (2 TP + FP + FN), over all cells.

    Args:
        drafted: (drafts, S) bool, the statements of each draft.
        true: (drafts, S) bool, the statements of each ECG.

    Returns:
        0 to 100.

    Raises:
        ValueError: if the shapes differ, or neither has any statement.
    """
    if drafted.shape != true.shape:
        raise ValueError(f"shapes {drafted.shape} and {true.shape}: needs the same")
    stated = int(drafted.sum()) + int(true.sum())
    if not stated:
        raise ValueError("no statement to compare: needs ECGs with codes")
    return 100.0 * 2 * int((drafted & true).sum()) / stated
