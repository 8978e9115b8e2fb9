import random

import pytest

from cardex.domain.index import Hit
from cardex.domain.reports import DRAFT_LABEL, Draft, Report
from cardex.reports.language import language_of
from cardex.retrieval.draft import VOTERS, draft_of
from tests.helpers.slow_draft import slow_draft_of


def hits(*texts: str, scores: tuple[float, ...] = (), counts: tuple[int, ...] = ()) -> list[Hit]:
    found = []
    for place, text in enumerate(texts):
        count = counts[place] if counts else 1
        report = Report(f"r{place + 1}", text, language_of(text), record_count=count)
        found.append(Hit(report, scores[place] if scores else 0.5, place + 1))
    return found


def drafted(*texts: str) -> Draft:
    draft = draft_of(hits(*texts), len(texts))
    assert draft is not None
    return draft


def said(*texts: str, shown: int = 0, **options) -> list[str]:
    draft = draft_of(hits(*texts, **options), shown or len(texts))
    return [sentence.text for sentence in draft.sentences] if draft else []


def test_a_draft_says_what_the_hits_agree_on_with_those_that_say_it():
    draft = drafted(
        "sinus rhythm. left axis deviation. otherwise normal ecg.",
        "sinus rhythm. left axis deviation.",
        "sinus rhythm. otherwise normal ecg.",
    )
    assert draft.label == DRAFT_LABEL
    assert [(sentence.text, sentence.report_ids) for sentence in draft.sentences] == [
        ("sinus rhythm.", ("r1", "r2", "r3")),
        ("left axis deviation.", ("r1", "r2")),
        ("otherwise normal ecg.", ("r1", "r3")),
    ]


def test_what_one_record_alone_says_stays_out():
    texts = ["sinus rhythm. tiny q waves in v6.", "sinus rhythm. normal ecg.", "sinus rhythm."]
    assert said(*texts) == ["sinus rhythm."]


def test_a_single_hit_is_its_own_draft():
    assert said("sinus rhythm. normal ecg.") == ["sinus rhythm.", "normal ecg."]


def test_where_the_hits_agree_on_nothing_the_one_most_like_the_others_is_the_draft():
    texts = ["sinus rhythm with q waves.", "sinus rhythm with flat t waves.", "paced rhythm."]
    draft = drafted(*texts)
    (sentence,) = draft.sentences
    assert sentence.text in texts[:2]
    assert len(sentence.report_ids) == 1


def test_a_report_without_full_stops_is_split_where_the_hits_differ():
    texts = [
        "sinusrhythmus linkstyp normales ekg",
        "sinusrhythmus lagetyp normal normales ekg",
        "sinusrhythmus linkstyp unspezifisches abnormales t",
        "sinusrhythmus linkstyp normales ekg",
    ]
    assert said(*texts) == ["sinusrhythmus linkstyp", "normales ekg"]


def test_equal_sentences_count_together_whatever_their_case_and_punctuation():
    draft = drafted("Sinus rhythm. Normal ECG.", "sinus rhythm; normal ecg.")
    assert [sentence.report_ids for sentence in draft.sentences] == [("r1", "r2"), ("r1", "r2")]


def test_a_draft_is_in_the_language_of_most():
    texts = ["sinusrhythmus normales ekg", "sinus rhythm. normal ecg.", "sinus rhythm. normal ecg!"]
    assert said(*texts) == ["sinus rhythm.", "normal ecg."]


def test_what_many_records_say_weighs_more():
    texts = ["atrial fibrillation. left axis deviation.", "sinus rhythm.", "normal sinus rhythm."]
    assert said(*texts, counts=(1, 400, 1)) == ["sinus rhythm."]


def test_phrases_that_no_hit_says_together_are_not_joined():
    texts = ["sinus rhythm. normal ecg."] * 3 + ["atrial fibrillation. abnormal ecg."] * 2
    assert said(*texts) == ["sinus rhythm.", "normal ecg."]


def test_nothing_is_said_twice():
    texts = ["sinus rhythm. normal ecg.", "normal ecg. sinus rhythm.", "sinus rhythm. normal ecg."]
    assert sorted(said(*texts)) == ["normal ecg.", "sinus rhythm."]


@pytest.mark.parametrize(
    "tail",
    [
        "4.46 unbestätigter bericht",
        "4.46                 unbestÄtigter bericht",
        "Edit: ASMI 100, LAFB",
    ],
)
def test_who_confirmed_a_report_is_no_part_of_a_draft(tail):
    texts = [f"sinusrhythmus lagetyp normal {tail}"] * 3
    assert " ".join(said(*texts)) == "sinusrhythmus lagetyp normal"


def test_without_hits_or_words_there_is_no_draft():
    assert draft_of([], 0) is None
    assert draft_of(hits("trace only requested.", "..."), 2) is None
    assert draft_of(hits("sinus rhythm.", scores=(-0.2,)), 1) is None


def test_part_of_a_sentence_is_no_support():
    texts = [
        "sinus rhythm. inferior infarct.",
        "sinus rhythm. inferior infarct cannot be excluded.",
    ]
    assert said(*texts) == ["sinus rhythm."]


def test_what_is_denied_is_no_support():
    texts = ["sinusrhythmus infarkt", "sinusrhythmus kein infarkt", "sinusrhythmus ohne infarkt"]
    assert "infarkt" not in said(*texts)


def test_reports_that_are_far_have_no_say():
    near = ["sinus rhythm. normal ecg."] * VOTERS
    texts = [*near, *["atrial fibrillation."] * 90]
    assert said(*texts, shown=10) == ["sinus rhythm.", "normal ecg."]


def test_reports_after_the_hits_vote_but_are_not_named():
    texts = ["sinus rhythm. q waves.", "sinus rhythm. normal ecg.", *["Normal ECG."] * 3]
    draft = draft_of(hits(*texts), 2)
    assert draft is not None
    assert [(sentence.text, sentence.report_ids) for sentence in draft.sentences] == [
        ("sinus rhythm.", ("r1", "r2")),
        ("normal ecg.", ("r2",)),
    ]


def test_nearer_reports_weigh_more():
    texts = ["sinus rhythm.", "sinus rhythm! ", "paced rhythm.", "paced rhythm!"]
    near = (0.9, 0.9, 0.1, 0.1)
    assert said(*texts, scores=near) == ["sinus rhythm."]
    assert said(*texts, scores=near[::-1]) == ["paced rhythm."]


def test_a_hit_is_judged_by_what_is_left_of_it():
    alone = "sinus rhythm. normal ecg. small q waves in v6, and low voltage in the limb leads."
    texts = [alone, "sinus rhythm. normal ecg.", "sinus rhythm. left axis.", "normal ecg."]
    draft = draft_of(hits(*texts), 1)
    assert draft is not None
    assert [sentence.text for sentence in draft.sentences] == ["sinus rhythm.", "normal ecg."]


def test_a_negation_stays_with_what_it_denies():
    texts = ["sinusrhythmus kein infarkt", "sinusrhythmus kein block", "sinusrhythmus infarkt"]
    assert said(*texts, shown=1) == ["sinusrhythmus"]
    assert said(*texts, shown=1, counts=(2, 1, 1)) == ["sinusrhythmus", "kein infarkt"]


SAYINGS = (
    "sinus rhythm", "no sinus rhythm", "left axis deviation", "q waves in v1 v2", "normales ekg",
    "linkstyp", "kein infarkt", "sinusrhythmus", "unspezifische st-t veränderungen", "lvh",
    "inferior myocardial infarction", "p-sinistrocardiale", "-", "st-senkung, st-senkung",
)  # fmt: skip


def text(chance: random.Random) -> str:
    stop = chance.choice((".", ""))
    joint = f"{stop} "
    return joint.join(chance.choices(SAYINGS, k=chance.randint(1, 5))) + stop


@pytest.mark.parametrize("seed", range(60))
def test_a_draft_is_what_sets_and_counters_say(seed):
    chance = random.Random(seed)
    count = chance.choice((1, 3, 10, VOTERS + 3))
    scores = tuple(sorted((chance.uniform(-0.1, 1.0) for _ in range(count)), reverse=True))
    counts = tuple(chance.choices((0, 1, 2, 9), k=count))
    near = hits(*(text(chance) for _ in range(count)), scores=scores, counts=counts)
    for shown in (1, 10):
        assert draft_of(near, shown) == slow_draft_of(near, shown)
