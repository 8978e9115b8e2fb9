"""Shapes of engines."""

import pytest

from cardex.domain.errors import ConfigurationError
from cardex.models.profiles import Profile, check, profiles_of


def graph_of(root, model):
    return root / "model_repository" / model / "1" / "model.onnx"


def test_an_encoder_takes_one_to_the_largest_batch(root):
    found = profiles_of(graph_of(root, "ecg_image_encoder"), 64, 16)
    assert found == {
        "image": Profile((1, 12, 1000, 1), (16, 12, 1000, 1), (64, 12, 1000, 1)),
    }


def test_the_matcher_takes_two_to_all_candidates(root):
    found = profiles_of(graph_of(root, "ecg_report_matcher"), 4, 1, 50)
    assert found == {
        "image": Profile((1, 12, 1000, 1), (1, 12, 1000, 1), (4, 12, 1000, 1)),
        "token_ids": Profile((1, 2, 64), (1, 50, 64), (4, 128, 64)),
    }


@pytest.mark.parametrize("largest, typical", [(4, 5), (4, 0)])
def test_a_typical_batch_out_of_range_is_refused(root, largest, typical):
    with pytest.raises(ConfigurationError, match=f"1 to the largest \\(4\\): got {typical}"):
        profiles_of(graph_of(root, "report_text_encoder"), largest, typical)


@pytest.mark.parametrize("typical", [1, 129])
def test_typical_candidates_out_of_range_are_refused(root, typical):
    with pytest.raises(ConfigurationError, match=f"2 to 128: got {typical}"):
        profiles_of(graph_of(root, "ecg_report_matcher"), 4, 1, typical)


FITS = Profile((1, 64), (16, 64), (32, 64))


def test_a_profile_that_fits_passes():
    check({"x": FITS}, {"x": (-1, 64)})


@pytest.mark.parametrize(
    "profiles, fault",
    [
        ({}, "inputs x"),
        ({"y": FITS}, "profiles y"),
        ({"x": Profile((1, 32), (1, 64), (1, 64))}, "input x"),
        ({"x": Profile((1, 64), (1, 64), (1, 128))}, "input x"),
        ({"x": Profile((2, 64), (1, 64), (3, 64))}, "input x"),
        ({"x": Profile((1,), (1,), (1,))}, "input x"),
        ({"x": Profile((1, 64), (1, 64), (1, 64, 1))}, "input x"),
    ],
)
def test_a_profile_that_does_not_fit_is_refused_by_the_inputs_name(profiles, fault):
    with pytest.raises(ConfigurationError, match=fault):
        check(profiles, {"x": (-1, 64)})
