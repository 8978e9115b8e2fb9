import pytest
import torch

from cardex.domain.errors import CardexError
from cardex.training.blocks import TowerConfig
from cardex.training.space import (
    ECG_LENGTH,
    LEVEL,
    REPORT_LENGTH,
    WORDING_WEIGHT,
    Margin,
    ReportParts,
    axes_of_wording,
    ecg_embedding,
    report_embedding,
)

CODES = 5


def units(count: int, size: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, size), dim=-1)


def reports(count: int) -> ReportParts:
    return ReportParts(
        torch.rand(count, CODES), units(count, 20), torch.rand(count), torch.randn(count)
    )


def test_the_cosine_orders_as_the_score_does_both_ways():
    log_odds, wording, partition = torch.randn(7, CODES), units(7, 20), torch.randn(7)
    parts = reports(50)
    cosine = ecg_embedding(log_odds, wording, partition) @ report_embedding(parts).T
    wanted = (
        log_odds @ parts.probabilities.T
        + WORDING_WEIGHT * wording @ parts.wording.T
        - partition[:, None] * parts.whole
        + parts.bias
    )
    torch.testing.assert_close(cosine, wanted / (ECG_LENGTH * REPORT_LENGTH) ** 0.5)
    assert torch.equal(cosine.argsort(dim=1), wanted.argsort(dim=1))
    assert torch.equal(cosine.argsort(dim=0), wanted.argsort(dim=0))


def test_embeddings_are_unit_vectors_of_one_size():
    for scale in (1.0, 60.0):  # the second is longer than the length that the filling makes up
        ecg = ecg_embedding(scale * torch.randn(3, CODES), units(3, 20), torch.randn(3))
        report = report_embedding(reports(3))
        assert ecg.shape == report.shape == (3, CODES + 20 + 4)
        for embedding in (ecg, report):
            torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(3))


def test_the_bias_hardly_counts_between_two_reports():
    parts = reports(1)
    plain, popular = (
        report_embedding(
            ReportParts(parts.probabilities, parts.wording, parts.whole, torch.tensor([bias]))
        )
        for bias in (0.0, -0.2 * LEVEL)
    )
    assert float((plain @ popular.T).item()) == pytest.approx(1.0, abs=0.01)


def test_an_embedding_without_room_for_the_wording_is_refused():
    config = TowerConfig(width=32, depth=1, heads=2, embedding=64)
    assert axes_of_wording(config, 59) == 1
    with pytest.raises(CardexError, match="no room for 60 statements"):
        axes_of_wording(config, 60)


def test_a_margin_is_the_log_of_the_mean_exponential_of_the_scores():
    population, contents = torch.randn(30, 8), torch.randn(4, 8)
    margin = Margin(8, 30)
    margin.prototypes.copy_(population)
    margin.offsets.fill_(-torch.tensor(30.0).log())
    wanted = (contents @ population.T).exp().mean(dim=1).log()
    torch.testing.assert_close(margin(contents), wanted)
    assert torch.equal(Margin(8, 0)(contents), torch.zeros(4))
