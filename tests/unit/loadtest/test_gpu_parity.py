"""Whether a wrong engine would be seen."""

import numpy as np
import pytest

from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import IMAGE_ENCODER, MATCHER, TEXT_ENCODER
from cardex.models.precision import Precision
from loadtest.gpu_findings import Findings
from loadtest.gpu_parity import AIMS, LOG_ODDS, OVERLAP, Aim, compare, refer
from tests.unit.loadtest.machines import HARDWARE, Wrong


def missed(figures, precision=Precision.FP16):
    found = Findings(HARDWARE, "", "")
    found.add_figures("x", figures, AIMS[precision])
    return {line.removeprefix("x: ").partition(" is ")[0] for line in found.missed}


@pytest.fixture
def wrong(exact):
    """Runners of which those that are named are changed."""
    return lambda **changes: {
        model: Wrong(runner, changes.get(model, lambda answer: answer))
        for model, runner in exact.items()
    }


def test_every_aim_is_of_a_figure(exact, reference):
    figures = compare(exact, reference)
    for aims in AIMS.values():
        assert aims.keys() <= figures.keys()


def test_a_graph_agrees_with_itself(exact, reference):
    figures = compare(exact, reference)
    assert figures[OVERLAP] == 1.0
    assert max(value for name, value in figures.items() if name != OVERLAP) < 1e-6
    assert not missed(figures, Precision.FP32)


def test_fp16_with_its_rounding_meets_the_aims_and_is_not_fp32(machine, halves, reference):
    runners = {model: machine.engine(built.plan).enter_result for model, built in halves.items()}
    figures = compare(runners, reference)
    assert not missed(figures)
    assert 1e-5 < figures["image encoder, largest difference"] < 1e-2
    assert 1e-4 < figures[LOG_ODDS] < 0.1


def test_reports_in_another_order_miss_the_aims(wrong, reference):
    figures = compare(wrong(report_text_encoder=lambda a: a[::-1]), reference)
    assert figures[OVERLAP] < 0.9
    assert OVERLAP in missed(figures)
    assert OVERLAP in missed(figures, Precision.FP32)


def test_ecgs_in_another_order_miss_the_aims(wrong, reference):
    figures = compare(wrong(ecg_image_encoder=lambda a: np.roll(a, 1, axis=0)), reference)
    assert OVERLAP in missed(figures)


def test_components_in_another_order_are_seen_though_no_neighbour_changes(wrong, reference):
    def turn(answer):
        return answer[:, ::-1]

    figures = compare(wrong(ecg_image_encoder=turn, report_text_encoder=turn), reference)
    assert figures[OVERLAP] > 0.99
    assert missed(figures) == {
        "image encoder, largest 1 - cosine",
        "report encoder, largest 1 - cosine",
    }
    assert missed(figures, Precision.FP32) == {
        "image encoder, largest difference",
        "report encoder, largest difference",
    }


def test_an_engine_that_is_wrong_at_one_batch_size_alone_is_seen(wrong, reference):
    for size in (1, 16, 64):

        def at(answer, size=size):
            return -answer if len(answer) == size else answer

        assert missed(compare(wrong(ecg_image_encoder=at), reference))


def test_a_matcher_that_swaps_two_candidates_is_seen(wrong, reference):
    figures = compare(wrong(ecg_report_matcher=lambda a: a[:, ::-1]), reference)
    assert missed(figures) == {LOG_ODDS}


def test_one_nan_misses_the_aims(wrong, reference):
    def spoil(answer):
        answer[0, 0] = np.nan
        return answer

    names = missed(compare(wrong(ecg_image_encoder=spoil, ecg_report_matcher=spoil), reference))
    assert names >= {"image encoder, largest 1 - cosine", LOG_ODDS}


def test_an_answer_of_another_shape_is_an_error(wrong, reference):
    with pytest.raises(ConfigurationError, match="ecg_image_encoder answers"):
        compare(wrong(ecg_image_encoder=lambda a: a[:, :8]), reference)
    with pytest.raises(ConfigurationError, match="ecg_report_matcher answers"):
        compare(wrong(ecg_report_matcher=lambda a: a[:, :1]), reference)


def test_every_row_is_asked_once_and_every_batch_size_comes(sample, reference):
    for model, name, rows in (
        (IMAGE_ENCODER, "image", sample.images),
        (TEXT_ENCODER, "token_ids", sample.tokens),
    ):
        asked = [call[name] for call in reference.calls[model]]
        np.testing.assert_array_equal(np.concatenate(asked), rows)
    assert {1, 16, 64} <= {len(call["image"]) for call in reference.calls[IMAGE_ENCODER]}
    assert {1, 32, 64} <= {len(call["token_ids"]) for call in reference.calls[TEXT_ENCODER]}


def test_the_matcher_is_asked_about_each_ecgs_nearest_reports(sample, reference):
    scores = reference.answers[IMAGE_ENCODER] @ reference.answers[TEXT_ENCODER].T
    first = 0
    shapes = set()
    for call in reference.calls[MATCHER]:
        images, tokens = call["image"], call["token_ids"]
        shapes.add(tokens.shape[:2])
        np.testing.assert_array_equal(images, sample.images[first : first + len(images)])
        for own, candidates in zip(scores[first:], tokens, strict=False):
            nearest = np.argsort(-own, kind="stable")[: len(candidates)]
            np.testing.assert_array_equal(candidates, sample.tokens[nearest])
        first += len(images)
    assert first == 6
    assert shapes == {(1, 2), (1, 32), (4, 100)}  # there are but 100 reports for the largest, 128
    pairs = sum(
        call["token_ids"].shape[0] * call["token_ids"].shape[1] for call in reference.calls[MATCHER]
    )
    assert reference.answers[MATCHER].shape == (pairs,)


def test_a_version_without_a_matcher_is_compared_without(release, sample, profiles, exact):
    few = {model: profiles[model] for model in (IMAGE_ENCODER, TEXT_ENCODER)}
    found = refer(release, sample, few, 6)
    assert LOG_ODDS not in compare(exact, found)


def test_aims():
    assert Aim(0.5).met(0.5) and not Aim(0.5).met(0.6) and not Aim(0.5).met(float("nan"))
    least = Aim(0.5, at_least=True)
    assert least.met(0.5) and not least.met(0.4) and not least.met(float("nan"))
    assert (str(Aim(1e-3)), str(least)) == ("at most 0.001", "at least 0.5")
