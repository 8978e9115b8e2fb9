import math

import numpy as np
import pytest
from rouge_score.tokenize import tokenize

from cardex.evaluation.texts import score, statement_f1, words


def test_words_keep_umlauts_where_the_library_s_own_tokenizer_cuts_them():
    assert words("Ischämie, ST-Senkung (V5,6).") == ["ischämie", "st", "senkung", "v5", "6"]
    assert tokenize("ischämie", None) == ["isch", "mie"]


def test_the_same_text_is_full_marks_but_for_meteor_s_one_chunk():
    text = "sinusrhythmus linkstyp t-abflachung möglich"  # five words
    figures = score([text], [text])
    for name in ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l"):
        assert figures[name] == pytest.approx(100.0)
    assert figures["meteor"] == pytest.approx(100 * (1 - 0.5 * (1 / 5) ** 3))


def test_figures_of_one_draft_by_hand():
    # Matches: five of six words, three of five pairs, one of four triples, no quadruple.
    figures = score(["a b c x e f"], ["a b c d e f g"])
    brevity = math.exp(1 - 7 / 6)
    one, two, three, four = 5 / 6, 3 / 5, 1 / 4, 0.1 / 3
    assert figures["bleu_1"] == pytest.approx(100 * brevity * one)
    assert figures["bleu_2"] == pytest.approx(100 * brevity * (one * two) ** (1 / 2))
    assert figures["bleu_3"] == pytest.approx(100 * brevity * (one * two * three) ** (1 / 3))
    assert figures["bleu_4"] == pytest.approx(100 * brevity * (one * two * three * four) ** (1 / 4))
    precision, recall = 5 / 6, 5 / 7  # the longest common subsequence is a b c e f
    assert figures["rouge_l"] == pytest.approx(100 * 2 * precision * recall / (precision + recall))
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    penalty = 0.5 * (2 / 5) ** 3  # two chunks of five matches: a b c, e f
    assert figures["meteor"] == pytest.approx(100 * (1 - penalty) * mean)


def test_bleu_is_of_the_corpus_and_the_others_are_means():
    figures = score(["a b", "c x y z"], ["a b", "c d e f"])
    assert figures["bleu_1"] == pytest.approx(100 * 3 / 6)
    assert figures["rouge_l"] == pytest.approx(100 * (1 + 1 / 4) / 2)
    first, second = 1 - 0.5 * (1 / 2) ** 3, (1 - 0.5) * 1 / 4
    assert figures["meteor"] == pytest.approx(100 * (first + second) / 2)


def test_a_draft_shorter_than_four_words_does_not_fail():
    figures = score(["normales ekg"], ["normales ekg"])
    assert figures["bleu_2"] == pytest.approx(100.0)
    assert 0 < figures["bleu_4"] < 100


def test_stems_match_and_synonyms_do_not():
    assert score(["wave"], ["waves"])["meteor"] == pytest.approx(100 * (1 - 0.5))
    assert score(["infarct"], ["infarction"])["rouge_l"] == 0
    assert score(["rapid"], ["fast"])["meteor"] == 0


def test_umlauts_count():
    figures = score(["ischämie möglich"], ["ischemie möglich"])
    assert figures["rouge_l"] == pytest.approx(50.0)
    assert figures["bleu_1"] == pytest.approx(50.0)


def test_an_empty_draft_has_nothing():
    assert score([""], ["normales ekg"]) == {
        "bleu_1": 0, "bleu_2": 0, "bleu_3": 0, "bleu_4": 0, "rouge_l": 0, "meteor": 0,
    }  # fmt: skip


@pytest.mark.parametrize(("drafts", "truths"), [([], []), (["a"], ["a", "b"])])
def test_drafts_without_a_truth_each_are_refused(drafts, truths):
    with pytest.raises(ValueError, match="one truth a draft"):
        score(drafts, truths)


def test_statement_f1_by_hand():
    drafted = np.array([[1, 1, 0], [0, 1, 0]], dtype=bool)
    true = np.array([[1, 0, 0], [0, 1, 1]], dtype=bool)
    assert statement_f1(drafted, true) == pytest.approx(100 * 4 / (4 + 1 + 1))
    assert statement_f1(true, true) == 100
    assert statement_f1(~true, true) == 0


def test_statement_f1_needs_equal_shapes_and_statements():
    with pytest.raises(ValueError, match="no statement to compare"):
        statement_f1(np.zeros((2, 3), bool), np.zeros((2, 3), bool))
    with pytest.raises(ValueError, match="shapes"):
        statement_f1(np.zeros((2, 3), bool), np.zeros((3, 3), bool))
