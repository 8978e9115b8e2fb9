import copy

import pytest

from cardex.evaluation import site_tables, tables
from cardex.evaluation.tables import BLOCKS

WHO = ("model", "majority", "chance")
AREA = {"positive": 7, "AUROC": [0.81, 0.72, 0.93]}
BRIER = {
    "Brier score": [0.02, 0.01, 0.03],
    "Brier score of the base rates": [0.03, 0.02, 0.04],
    "difference": [-0.01, -0.02, -0.005],
}
RECALL = {name: [12.34, 10.0, 15.0] for name in ("R@1", "R@5", "R@10", "RSUM")}
AGREEMENT = {"jaccard@5": [0.5, 0.4, 0.6], "nDCG@10": [0.6, 0.5, 0.7]}
RETRIEVAL = {
    **{
        protocol: dict.fromkeys(WHO, RECALL)
        for protocol in ("paper", "paper back", "strict", "strict back", "distinct")
    },
    "clinical": dict.fromkeys(WHO, AGREEMENT),
}
FOUND = {name: RECALL[name] for name in ("R@1", "R@5", "R@10")} | AGREEMENT
DRAFT = {f"bleu_{order}": 10.0 for order in (1, 2, 3, 4)}
DRAFT |= {"rouge_l": 20.0, "meteor": 30.0, "statement_f1": 40.0}
EVERY = {
    "ecgs": 613, "gallery": 1269, "distinct texts": 803, "abnormal ecgs": 315,
    "abnormal gallery": 1200, **RETRIEVAL,
    "re-ranked": {"count": 32, "ms_per_ecg": 9.0, "by_weight": [RETRIEVAL]},
    "zero-shot": {
        "superclass": {"AUROC": [0.9, 0.8, 0.95], "classes": 5},
        "rhythm": {"AUROC": None, "classes": 0},
    },
    "statements": {"LVH": AREA},
    "statements of calibrated ecgs": {"ecgs": 500, "statements": {}},
    "probabilities": {"statements": 62, **BRIER, "expected calibration error": 0.0022},
    "probabilities by site": {"2": {"ecgs": 104, **BRIER, "corrected": {"EM": BRIER}}},
    "languages": {
        "AUROC": {"en": [0.9, 0.8, 0.95], "de": [0.89, 0.79, 0.94]},
        "difference": {"de": [-0.01, -0.02, 0.005]},
        "order": {"en-de": 0.951},
        "statements": {"LVH": {"positive": 7, "en": 0.9, "de": 0.89}},
    },
    "out-of-distribution": {"as recorded": [1.5, 0.5, 2.5], "inverted": [60.0, 55.0, 65.0]},
    "drafts": {"draft": DRAFT, "nearest report": DRAFT},
    "cases": {
        "archive": {"cases": 4532, "texts": 2301, "limit": [49.9, 46.0, 53.8]},
        "figures": dict.fromkeys(("REPORT", "ECG", "BOTH", "majority", "chance"), FOUND),
        "more than REPORT": dict.fromkeys(("ECG", "BOTH"), FOUND),
    },
}  # fmt: skip


@pytest.fixture
def found():
    other = copy.deepcopy(EVERY) | {"ecgs": 376}
    return {
        "model_version": "cardex-1", "fold": 9, "date": "2026-01-02", "machine": "2 cores",
        "figures": {"all": EVERY, "other": other},
        "held-out sites": {
            "name": "held-out", "recipe": "abc", "date": "2026-01-02", "machine": "2 cores",
            "sites": {"3": {"ecgs": 60, "folds": "all", "trained on": 2000, **BRIER}},
        },
    }  # fmt: skip


def test_every_block_is_a_table_of_equal_rows_or_a_text(found):
    for name, write in BLOCKS.items():
        lines = [line for line in write(found).splitlines() if line.startswith("|")]
        widths = {line.count("|") for line in lines}
        assert name == "measured" or lines
        assert len(widths) == (2 if name == "card" else bool(lines))  # a card has two tables


def test_it_is_told_what_was_measured_when_and_where(found):
    text = tables.measured(found)
    for words in ("613 held-out ECGs (376 other)", "1269 reports (803 distinct", "315 of the ECGs",
                  "1200 abnormal", "`cardex-1`, fold 9", "2026-01-02, 2 cores"):  # fmt: skip
        assert words in text
    del found["date"]
    assert "make figures" not in tables.measured(found)


def test_a_figure_stands_with_its_interval_and_its_baselines_alone(found):
    lines = tables.retrieval(found).splitlines()
    assert lines[0].startswith("|  | all (613 ECGs) | other (376 ECGs) | majority | chance |")
    cell = "12.3 (10.0 to 15.0)"
    assert f"R@1 | {cell} | {cell} | 12.3 | 12.3 | 7.88 |" in lines[2]


def test_levels_and_statements_without_enough_ecgs_have_no_figure(found):
    assert "rhythm" not in tables.zero_shot(found)
    assert "| superclass | 0.900 (0.800 to 0.950) [5] |" in tables.zero_shot(found)
    lines = tables.statements(found).splitlines()
    assert lines[2] == "| LVH |" + " 0.810 (0.720 to 0.930) [7] |" * 2
    assert lines[3] == "| LVH, ECGs in mV |" + " too few |" * 2


def test_differences_have_their_sign(found):
    *_, plain, again = site_tables.sites(found).splitlines()
    assert plain.startswith("| 2 | 104 | 0.0200")
    assert again.startswith("| 2, EM |  | 0.0200")
    assert again.endswith("|  | -0.0100 (-0.0200 to -0.0050) |")


def test_sites_that_were_held_out_tell_what_they_were_measured_with(found):
    text = site_tables.held_out_sites(found)
    assert "Recipe held-out (abc), `cardex held-out-sites`, 2026-01-02,\n2 cores." in text
    assert "without site 3: 2000 ECGs" in text
    assert "| 3 | 60, folds all | 0.0200" in text
    del found["held-out sites"]
    assert site_tables.held_out_sites(found) == "Not measured yet."


def test_models_without_a_matcher_have_no_re_ranking(found):
    assert "the same text, each text once, R@1, re-ranked" in tables.reranking(found)
    del found["figures"]["other"]["re-ranked"]
    assert "no matcher" in tables.reranking(found)


def test_languages_stand_beside_english(found):
    lines = tables.languages(found).splitlines()
    assert lines[3].startswith("| de | 0.890 (0.790 to 0.940) |")
    assert lines[4].startswith("| de, difference from en | -0.0100 (-0.0200 to 0.0050) |")
    assert lines[5:] == [
        "| Spearman correlation of the order, en-de | 0.951 | 0.951 |",
        "| statements | 1 | 1 |",
    ]
    del found["figures"]["other"]["languages"]
    assert tables.languages(found) == "Not measured."


def test_models_without_novelty_mark_nothing(found):
    assert "| inverted | 60.0 (55.0 to 65.0) | 60.0" in tables.out_of_distribution(found)
    del found["figures"]["other"]["out-of-distribution"]
    assert "novelty.json" in tables.out_of_distribution(found)


def test_a_card_can_be_of_one_subset_and_of_retrieval_alone(found):
    bare = {"figures": {"all": {k: v for k, v in EVERY.items() if k != "zero-shot"}}}
    assert "AUROC" not in tables.card(bare)
    assert "| all (613 ECGs) | majority |" in tables.card(bare)


def test_what_an_archive_of_cases_is_found_by_stands_side_by_side(found):
    lines = tables.cases(found).splitlines()
    assert lines[0].startswith("| 4,532 cases, 2,301 texts | all (613 ECGs) |")
    assert "| the same text, R@5, BOTH less REPORT | 12.3 (10.0 to 15.0) |" in tables.cases(found)
    del found["figures"]["other"]["cases"]
    assert tables.cases(found) == tables.cases_short(found) == "Not measured."
