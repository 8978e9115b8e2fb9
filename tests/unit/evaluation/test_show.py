import io

from rich.console import Console

from cardex.evaluation.markdown import bracket
from cardex.evaluation.show import show

AREA = {"positive": 7, "AUROC": [0.81, 0.72, 0.93]}
GAP = [-0.01, -0.02, 0.005]
FIGURES = {
    "ecgs": 613, "gallery": 1269, "distinct texts": 803, "abnormal ecgs": 315,
    "abnormal gallery": 1200,
    "zero-shot": {"rhythm": {"AUROC": None, "classes": 0}},
    "statements": {"LVH": AREA},
    "statements of calibrated ecgs": {"ecgs": 500, "statements": {}},
    "probabilities by site": {
        "2": {
            "ecgs": 104, "Brier score": [0.02, 0.01, 0.03],
            "Brier score of the base rates": [0.03, 0.02, 0.04], "difference": GAP,
            "corrected": {"EM with prior": {"Brier score": [0.02, 0.01, 0.03], "difference": GAP}},
        }
    },
    "languages": {
        "AUROC": {"en": [0.9, 0.8, 0.95], "de": [0.89, 0.79, 0.94]},
        "difference": {"de": GAP},
        "order": {"en-de": 0.951},
        "statements": {
            f"S{number}": {"positive": 7, "en": 0.9, "de": 0.8 - 0.01 * number}
            for number in range(9)
        },
    },
    "out-of-distribution": {"as recorded": [1.5, 0.5, 2.5], "inverted": [60.0, 55.0, 65.0]},
    "difference": {"strict": {"R@1": [1.5, -0.5, 3.5]}, "probabilities": {"Brier score": GAP}},
}  # fmt: skip


def shown(**figures: object) -> str:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    found = {
        "model_version": "cardex-1", "against": "cardex-0", "fold": 9, "warnings": ["beware"],
        "figures": {"other": FIGURES | figures},
    }  # fmt: skip
    show(console, found)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_every_subset_is_told_with_its_numbers():
    text = shown()
    assert "warning   beware" in text
    assert "other: 613 ECGs, gallery 1269 reports, 803 distinct; 315 abnormal ECGs" in text


def test_ecgs_without_codes_are_counted():
    assert "12 ECGs without codes" in shown(**{"ecgs without codes": 12})
    assert "without codes" not in shown()


def test_drafts_without_codes_have_no_statements():
    scores = dict.fromkeys(("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "meteor"), 20.0)
    assert "METEOR" in shown(drafts={"draft": scores})
    assert "statement F1" not in shown(drafts={"draft": scores})
    assert "statement F1" in shown(drafts={"draft": scores | {"statement_f1": 40.0}})


def test_statements_of_interest_are_shown_where_they_are_known():
    (line,) = [line for line in shown().splitlines() if line.strip().startswith("LVH")]
    assert line.split() == ["LVH", "7", "0.810", "(0.720-0.930)", "too", "few", "ECGs"]
    assert "VCLVH" not in shown()
    assert "LVH" not in shown(statements={})


def test_differences_have_a_sign_and_sites_a_line():
    text = shown()
    assert "difference from cardex-0" in text
    assert "+1.50 (-0.50 to +3.50)" in text
    (line,) = [line for line in text.splitlines() if line.strip().startswith("2 ")]
    assert "104" in line
    assert "-0.0100 (-0.0200 to +0.0050)" in line


def test_a_corrected_site_has_a_line_of_its_own():
    (line,) = [line for line in shown().splitlines() if "EM with prior" in line]
    assert "0.0200" in line
    assert "-0.0100 (-0.0200 to +0.0050)" in line


def test_languages_are_held_against_english_and_the_furthest_statements_shown():
    text = shown()
    assert "-0.0100 (-0.0200 to +0.0050)  0.951" in text
    assert [f"S{number}" in text for number in (3, 4, 8)] == [False, True, True]
    assert "…" not in text


def test_of_few_patients_the_mean_stands_alone():
    found = {"as recorded": [1.5], "difference": [0.5]}
    lines = [line.split() for line in shown(**{"out-of-distribution": found}).splitlines()]
    assert ["as", "recorded", "1.5"] in lines
    assert ["difference", "+0.5"] in lines
    assert bracket([1.5], 2) == "1.50"


def test_marks_are_shown_in_per_cent():
    (line,) = [line for line in shown().splitlines() if "inverted" in line]
    assert line.split()[1:] == ["60.0", "(55.0-65.0)"]


def test_what_was_not_measured_has_no_table():
    assert "retrieval" not in shown()
    assert "drafts" not in shown()
