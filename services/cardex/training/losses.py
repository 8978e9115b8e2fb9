"""Losses of the encoders: contrast, matching, masked words, optimal transport.

Every function is pure, except `momentum_update`, which writes in place. The losses
are those of ALBEF (Li et al. 2021, arXiv 2107.07651), which Qiu et al. (ML4H 2023, called P1 below)
use too, and the transport loss of Qiu et al. (EACL 2023, called P2 below).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IGNORED = -100
"""Label of a token that `language` leaves out."""

MASKED_SHARE = 0.15
REPLACED, SWAPPED = 0.8, 0.1
"""Shares of the chosen tokens that become [MASK], and a random token (BERT, 3.1)."""


def contrast(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of soft targets (ALBEF, eq. 2 and 6), a scalar.

    Args:
        logits: (B, K) float, similarity over temperature of each query with each entry.
        targets: (B, K) float, rows sum to 1.
    """
    return -(targets * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def one_hot(own: Tensor, count: int, smoothing: float = 0.0) -> Tensor:
    """Return (B, count) float32 targets: 1 - smoothing on the own entry, the rest over all.

    Args:
        own: (B,) int64, each query's own entry.
        count: K, the number of entries.
        smoothing: in [0, 1] (Szegedy 2016); every entry, the own one too, has smoothing / K of it.
    """
    sharp = F.one_hot(own, count).to(torch.float32)  # (B, K)
    return (1.0 - smoothing) * sharp + smoothing / count


def soften(targets: Tensor, momentum_logits: Tensor, alpha: float) -> Tensor:
    """Return (1 - alpha) * targets + alpha * softmax(momentum_logits).

    This is momentum distillation, ALBEF eq. 6; P1 has alpha = 0.4.

    Args:
        targets: (B, K) float, rows sum to 1.
        momentum_logits: (B, K) float, the momentum encoders' similarity over temperature.
        alpha: in [0, 1].

    Returns:
        (B, K) float, rows sum to 1, without gradient.
    """
    return (1.0 - alpha) * targets + alpha * F.softmax(momentum_logits.detach(), dim=1)


def label_aware(
    targets: Tensor, statements: Tensor, bank_statements: Tensor, share: float
) -> Tensor:
    """Spread `share` of each row's target equally over the entries with exactly its statements.

    Records with the same statements should not be negatives of each other. A row without statements
    equals no entry; a row that equals no entry keeps its target.

    Args:
        targets: (B, K) float, rows sum to 1.
        statements: (B, S), stated where above 0.
        bank_statements: (K, S), likewise.
        share: in [0, 1].

    Returns:
        (B, K) float, rows sum to 1.
    """
    stated = (statements > 0).to(targets.dtype)
    bank = (bank_statements > 0).to(targets.dtype)
    both = stated @ bank.T  # (B, K)
    different = stated.sum(dim=1)[:, None] + bank.sum(dim=1)[None] - 2.0 * both
    like = ((different == 0) & (both > 0)).to(targets.dtype)
    count = like.sum(dim=1, keepdim=True)
    spread = torch.where(count > 0, like / count.clamp(min=1.0), targets)
    return (1.0 - share) * targets + share * spread


@torch.no_grad()
def momentum_update(online: nn.Module, momentum: nn.Module, rate: float) -> None:
    """Move `momentum` in place to rate * momentum + (1 - rate) * online; buffers are copied.

    Args:
        online: the module that the optimiser trains.
        momentum: one of the same structure.
        rate: in [0, 1]; ALBEF has 0.995.

    Raises:
        ValueError: if the modules have different numbers of parameters or buffers.
    """
    for slow, fast in zip(momentum.parameters(), online.parameters(), strict=True):
        slow.lerp_(fast.to(slow.dtype), 1.0 - rate)
    for slow, fast in zip(momentum.buffers(), online.buffers(), strict=True):
        slow.copy_(fast)


@torch.no_grad()
def hard_negatives(
    similarity: Tensor, same: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw a negative for each row from the batch; similar entries are more likely.

    The probability is softmax(similarity) over the allowed entries (ALBEF, 3.2), or uniform where
    that is not finite.

    Args:
        similarity: (B, B) float, similarity over temperature.
        same: (B, B) bool, True for entries that are not negatives of the row: itself, and those
            with an equal report.
        generator: on the device of `similarity`; None takes torch's own.

    Returns:
        (B,) int64 indices, and (B,) bool, False for rows without a negative, whose index is their
        own.
    """
    allowed = ~same
    valid = allowed.any(dim=1)  # (B,)
    weights = F.softmax(similarity.float().masked_fill(same, -torch.inf), dim=1)
    finite = weights.isfinite().all(dim=1, keepdim=True)
    weights = torch.where(finite, weights, allowed.float())
    own = torch.eye(len(weights), device=weights.device)
    weights = torch.where(valid[:, None], weights, own)
    return torch.multinomial(weights, 1, generator=generator)[:, 0], valid


def matching(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the binary cross-entropy of match (1) and no match (0), a scalar (ALBEF, eq. 4).

    Args:
        logits: (N,) float, log-odds that image and report belong together.
        labels: (N,) bool, int or float.
    """
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))


def mask_tokens(
    ids: Tensor,
    vocabulary: int,
    mask_id: int,
    generator: torch.Generator | None = None,
    specials: int = 5,
) -> tuple[Tensor, Tensor]:
    """Choose 15 % of the tokens to be predicted: 80 % become [MASK], 10 % random, 10 % stay (BERT).

    Args:
        ids: (B, L) int32.
        vocabulary: number of ids; random tokens are of `specials` to `vocabulary` - 1.
        mask_id: id of [MASK].
        generator: on the device of `ids`; None takes torch's own.
        specials: ids below it are never chosen: padding, [CLS], [SEP] and the like.

    Returns:
        (B, L) ids to read, of the dtype of `ids`, and (B, L) int64 labels, `IGNORED` where a token
        was not chosen.
    """

    def draw() -> Tensor:
        return torch.rand(ids.shape, generator=generator, device=ids.device)

    chosen = (draw() < MASKED_SHARE) & (ids >= specials)
    fate = draw()
    other = torch.randint(
        specials, vocabulary, ids.shape, generator=generator, device=ids.device, dtype=ids.dtype
    )
    masked = torch.where(chosen & (fate < REPLACED), torch.full_like(ids, mask_id), ids)
    swapped = chosen & (fate >= REPLACED) & (fate < REPLACED + SWAPPED)
    labels = ids.to(torch.int64).masked_fill(~chosen, IGNORED)
    return torch.where(swapped, other, masked), labels


def language(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of the chosen tokens, a scalar; 0 where none was chosen.

    Args:
        logits: (B, L, V) float.
        labels: (B, L) int64, `IGNORED` where a token does not count.
    """
    total = F.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total / (labels != IGNORED).sum().clamp(min=1)


def sinkhorn(cost: Tensor, epsilon: float, iterations: int, mask: Tensor | None = None) -> Tensor:
    """Return the entropic transport plan between uniform weights (Cuturi 2013), in log space.

    Args:
        cost: (B, N, M) float.
        epsilon: weight of the entropy, in the unit of `cost`; towards 0 the plan becomes the exact
            one and needs more iterations.
        iterations: of a row and a column scaling each.
        mask: (B, M) bool, True for columns that have weight, at least one per row; None for all.

    Returns:
        (B, N, M) float32; rows sum to 1 / N within convergence, columns to 1 / (number of unmasked
        ones), masked columns are 0.
    """
    batch, rows, columns = cost.shape
    kept = cost.new_ones((batch, columns), dtype=torch.bool) if mask is None else mask
    log_kernel = -cost.float() / epsilon
    log_row = -torch.full((batch, rows), float(rows), device=cost.device).log()
    # A column without weight has log weight -inf and a finite kernel, so nothing becomes NaN.
    log_kernel = log_kernel.masked_fill(~kept[:, None], 0.0)
    log_column = -kept.sum(dim=1, keepdim=True).float().log().expand(-1, columns)
    log_column = log_column.masked_fill(~kept, -torch.inf)
    down = torch.zeros_like(log_column).masked_fill(~kept, -torch.inf)  # (B, M)
    for _ in range(iterations):
        right = log_row - (log_kernel + down[:, None]).logsumexp(dim=2)  # (B, N)
        down = log_column - (log_kernel + right[:, :, None]).logsumexp(dim=1)  # (B, M)
    return (log_kernel + right[:, :, None] + down[:, None]).exp()


def transport(
    image_tokens: Tensor,
    text_tokens: Tensor,
    mask: Tensor,
    epsilon: float = 0.1,
    iterations: int = 50,
) -> Tensor:
    """Return the cost of transporting the image's tokens to the report's (P2): <T, C>, C = 1 - cos.

    The plan T is constant for the gradient, as in UNITER and P2: at the optimum the gradient of the
    regularised cost with respect to C is T itself (envelope theorem).

    Args:
        image_tokens: (B, N, D) float.
        text_tokens: (B, M, D) float.
        mask: (B, M) bool, True for tokens of the report, False for padding.
        epsilon: see `sinkhorn`; costs lie in [0, 2].
        iterations: see `sinkhorn`.

    Returns:
        (B,) float32.
    """
    image = F.normalize(image_tokens.float(), dim=-1)
    text = F.normalize(text_tokens.float(), dim=-1)
    cost = 1.0 - image @ text.transpose(1, 2)  # (B, N, M)
    with torch.no_grad():
        plan = sinkhorn(cost, epsilon, iterations, mask)
    return (plan * cost).sum(dim=(1, 2))
