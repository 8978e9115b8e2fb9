import copy
import math

import numpy as np
import ot
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cardex.training.losses import (
    IGNORED,
    contrast,
    hard_negatives,
    label_aware,
    language,
    mask_tokens,
    matching,
    momentum_update,
    one_hot,
    sinkhorn,
    soften,
    transport,
)

MASK = 4
VOCABULARY = 50


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def rows_of_one(count: int, size: int) -> torch.Tensor:
    return torch.rand(count, size).softmax(dim=1)


def test_contrast_with_one_right_entry_is_cross_entropy():
    logits, own = torch.randn(6, 9), torch.randint(0, 9, (6,))
    torch.testing.assert_close(contrast(logits, one_hot(own, 9)), F.cross_entropy(logits, own))


def test_contrast_with_soft_targets_is_torch_s_own():
    logits, targets = torch.randn(6, 9), rows_of_one(6, 9)
    torch.testing.assert_close(contrast(logits, targets), F.cross_entropy(logits, targets))


def test_smoothing_is_torch_s_own():
    logits, own = torch.randn(6, 9), torch.randint(0, 9, (6,))
    targets = one_hot(own, 9, smoothing=0.2)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(6))
    torch.testing.assert_close(
        contrast(logits, targets), F.cross_entropy(logits, own, label_smoothing=0.2)
    )


def test_targets_are_softened_by_what_the_momentum_encoders_say():
    logits = torch.tensor([[math.log(3.0), 0.0]], requires_grad=True)
    softened = soften(torch.tensor([[0.0, 1.0]]), logits, alpha=0.4)
    torch.testing.assert_close(softened, torch.tensor([[0.3, 0.7]]))
    assert not softened.requires_grad


def test_entries_with_the_same_statements_share_the_target():
    statements = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    bank = torch.tensor(
        [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.2, 0.3, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    )
    targets = one_hot(torch.tensor([0, 4, 1]), 5)
    spread = label_aware(targets, statements, bank, share=0.5)
    torch.testing.assert_close(spread[0], torch.tensor([0.75, 0.0, 0.25, 0.0, 0.0]))
    assert torch.equal(spread[1], targets[1])  # no statements: like none
    assert torch.equal(spread[2], targets[2])  # like no entry


def test_label_aware_rows_sum_to_one():
    statements, bank = torch.rand(20, 3) > 0.5, torch.rand(40, 3) > 0.5
    spread = label_aware(rows_of_one(20, 40), statements, bank, share=0.3)
    torch.testing.assert_close(spread.sum(dim=1), torch.ones(20))


def test_momentum_follows_slowly_and_copies_buffers():
    online = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    momentum = copy.deepcopy(online)
    before = momentum[0].weight.clone()
    with torch.no_grad():
        online[0].weight += 1.0
    online(torch.randn(8, 3))  # moves the running mean and the count
    momentum_update(online, momentum, rate=0.9)
    torch.testing.assert_close(momentum[0].weight, before + 0.1)
    assert torch.equal(momentum[1].running_mean, online[1].running_mean)
    assert momentum[1].num_batches_tracked == 1
    assert torch.equal(online[0].weight, before + 1.0)


def test_momentum_of_another_structure_is_refused():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        momentum_update(nn.Linear(2, 2), nn.Linear(2, 2, bias=False), rate=0.9)


def test_negatives_are_drawn_by_similarity_and_are_never_the_same(generator):
    rows = 4000
    similarity = torch.tensor([9.0, math.log(3.0), 0.0, 9.0]).repeat(rows, 1)
    similarity = F.pad(similarity, (0, rows - 4), value=-1e4)
    same = torch.zeros(rows, rows, dtype=torch.bool)
    same[:, [0, 3]] = True
    indices, valid = hard_negatives(similarity, same, generator)
    assert valid.all()
    counts = torch.bincount(indices, minlength=4)
    assert counts[0] == counts[3] == 0
    assert counts[1] / rows == pytest.approx(0.75, abs=0.03)


def test_a_row_without_negatives_says_so(generator):
    same = torch.tensor([[True, True, False], [True, True, True], [False, False, True]])
    indices, valid = hard_negatives(torch.randn(3, 3), same, generator)
    assert valid.tolist() == [True, False, True]
    assert indices[0] == 2
    assert indices[1] == 1
    assert int(indices[2]) in {0, 1}


def test_negatives_are_drawn_evenly_where_similarities_are_not_finite(generator):
    drawn = set()
    for _ in range(50):
        indices, valid = hard_negatives(
            torch.full((3, 3), -torch.inf), torch.eye(3, dtype=torch.bool), generator
        )
        assert valid.all()
        assert (indices != torch.arange(3)).all()
        drawn.add(int(indices[0]))
    assert drawn == {1, 2}


def test_matching_of_certain_and_of_undecided_logits():
    torch.testing.assert_close(
        matching(torch.zeros(4), torch.tensor([True, False, True, False])),
        torch.tensor(math.log(2.0)),
    )
    assert matching(torch.tensor([30.0, -30.0]), torch.tensor([1, 0])) < 1e-6


def test_fifteen_per_cent_of_the_words_are_masked_in_the_shares_of_bert(generator):
    ids = torch.randint(0, VOCABULARY, (400, 200), dtype=torch.int32, generator=generator)
    masked, labels = mask_tokens(ids, VOCABULARY, MASK, generator)
    assert masked.dtype == torch.int32
    assert labels.dtype == torch.int64
    chosen = labels != IGNORED
    words = ids >= 5
    assert not (chosen & ~words).any()
    assert torch.equal(labels[chosen], ids[chosen].long())
    assert torch.equal(masked[~chosen], ids[~chosen])
    assert chosen.sum() / words.sum() == pytest.approx(0.15, abs=0.005)
    became = masked[chosen]
    assert (became == MASK).float().mean() == pytest.approx(0.8, abs=0.02)
    # One of 45 random words is the word itself.
    kept = (became == ids[chosen]).float().mean()
    assert kept == pytest.approx(0.1 + 0.1 / 45, abs=0.02)
    swapped = became[(became != MASK) & (became != ids[chosen])]
    assert swapped.min() >= 5
    assert swapped.max() < VOCABULARY


def test_the_same_seed_masks_the_same():
    ids = torch.randint(5, VOCABULARY, (3, 20), dtype=torch.int32)
    first, second = (
        mask_tokens(ids, VOCABULARY, MASK, torch.Generator().manual_seed(1)) for _ in range(2)
    )
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_language_counts_the_chosen_tokens_only():
    logits = torch.randn(2, 3, 7, requires_grad=True)
    labels = torch.tensor([[IGNORED, 4, IGNORED], [1, IGNORED, IGNORED]])
    wanted = F.cross_entropy(torch.stack([logits[0, 1], logits[1, 0]]), torch.tensor([4, 1]))
    torch.testing.assert_close(language(logits, labels), wanted)


def test_language_without_a_chosen_token_is_nothing():
    logits = torch.randn(2, 3, 7, requires_grad=True)
    loss = language(logits, torch.full((2, 3), IGNORED))
    loss.backward()
    assert loss == 0
    assert torch.equal(logits.grad, torch.zeros(2, 3, 7))


def test_the_plan_is_that_of_pot():
    cost = torch.rand(3, 7, 5)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    plan = sinkhorn(cost, epsilon=0.1, iterations=1000, mask=mask)
    for each, costs, kept in zip(plan, cost.double().numpy(), mask.numpy(), strict=True):
        columns = int(kept.sum())
        wanted = ot.sinkhorn(
            np.full(7, 1 / 7), np.full(columns, 1 / columns), costs[:, kept], 0.1,
            method="sinkhorn_log", numItermax=5000, stopThr=1e-12,
        )  # fmt: skip
        np.testing.assert_allclose(each[:, kept].numpy(), wanted, atol=1e-6)
        assert not each[:, ~kept].any()


def test_the_plan_is_near_the_exact_one_for_little_entropy():
    cost = torch.rand(1, 8, 6)
    plan = sinkhorn(cost, epsilon=0.002, iterations=5000)
    exact = ot.emd2(np.full(8, 1 / 8), np.full(6, 1 / 6), cost[0].double().numpy())
    assert float((plan * cost).sum()) == pytest.approx(exact, abs=5e-3)


def test_the_plan_has_uniform_margins():
    plan = sinkhorn(2 * torch.rand(2, 9, 4), epsilon=0.1, iterations=50)
    torch.testing.assert_close(plan.sum(dim=1), torch.full((2, 4), 1 / 4))
    torch.testing.assert_close(plan.sum(dim=2), torch.full((2, 9), 1 / 9), atol=1e-3, rtol=0)


def test_transport_is_the_cost_that_pot_finds():
    image, text = torch.randn(2, 6, 8), torch.randn(2, 5, 8)
    mask = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    found = transport(image, text, mask, epsilon=0.1, iterations=1000)
    for row, kept in enumerate(mask):
        cost = ot.dist(image[row].double().numpy(), text[row, kept].double().numpy(), "cosine")
        wanted = ot.sinkhorn2(
            np.full(6, 1 / 6), np.full(len(cost[0]), 1 / len(cost[0])), cost, 0.1,
            method="sinkhorn_log", numItermax=5000, stopThr=1e-12,
        )  # fmt: skip
        plan = ot.sinkhorn([], [], cost, 0.1, numItermax=5000, stopThr=1e-12)
        assert float(found[row]) == pytest.approx(float((plan * cost).sum()), abs=1e-5)
        assert float(found[row]) == pytest.approx(float(np.squeeze(wanted)), abs=1e-5)


def test_padding_does_not_change_transport():
    image, text = torch.randn(1, 6, 8), torch.randn(1, 5, 8)
    mask = torch.tensor([[True, True, True, False, False]])
    padded = transport(image, text, mask)
    text[:, 3:] = 0.0
    torch.testing.assert_close(transport(image, text, mask), padded)
    torch.testing.assert_close(transport(image, text[:, :3], mask[:, :3]), padded)


def test_the_gradient_of_transport_holds_the_plan_fixed_and_brings_tokens_together():
    image = torch.randn(3, 6, 8, requires_grad=True)
    text, mask = torch.randn(3, 5, 8), torch.ones(3, 5, dtype=torch.bool)
    first = transport(image, text, mask)
    for _ in range(200):
        loss = transport(image, text, mask).sum()
        (gradient,) = torch.autograd.grad(loss, image)
        assert gradient.isfinite().all()
        with torch.no_grad():
            image -= gradient
    assert (transport(image, text, mask) < 0.5 * first).all()


def test_transport_of_equal_tokens_is_almost_free():
    tokens = torch.eye(5)[None]
    mask = torch.ones(1, 5, dtype=torch.bool)
    assert float(transport(tokens, tokens, mask)) < 1e-3
