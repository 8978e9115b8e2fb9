"""The shared space of ECGs and reports: what its axes hold, and how vectors are joined from it.

The inner product of an ECG's and a report's vector is the score

    log_odds' . probabilities + WORDING_WEIGHT * wording - whole * partition + bias,

where log_odds' are the ECG's log-odds of its statements less a share of what is usual, wording is
the cosine of both wordings, of a statement's name `NAME_WORDING` of it, and the
other parts keep popular reports and talkative ECGs from coming first everywhere:

- partition, of an ECG, is the log of the mean exponential of its scores with the training reports,
  so that scores of one report with several ECGs can be compared (a softmax over the reports);
- popularity, of a report, is the log of the mean likelihood ratio that training ECGs give it. A
  share of it is taken off (`bias`), so that reports that fit many ECGs come behind those that fit
  this one: with the whole of it, the score is the pointwise mutual information of ECG and report;
- whole, of a report, is 1 for a whole report and 0 for the name of a statement. A statement is not
  an alternative to other reports, but a part of many: its score is the statement's log-odds.

On the last axes both kinds of vectors are filled up to one length, so that cosines order as scores.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardex.domain.errors import CardexError
from cardex.training.blocks import TowerConfig

WORDING_WEIGHT = 20.0
NAME_WORDING = 0.05
"""Share that the wording of a statement's name has: no report is worded like a name, but among the
reports that a name finds, those that use its words come first."""
PRIOR_SHARE = 0.8
POPULARITY_SHARE = 0.6
"""Share of a report's popularity that is taken off. With more, an ECG's own report is found more
often among others, and the statements of the first reports agree less."""
LEVEL = 30.0
"""What every ECG's vector has on the axis of the reports' bias. It is large, so that the bias,
divided by it, hardly counts in the product of two reports."""
ECG_LENGTH = 5200.0
"""Squared length of an ECG's vector with its filling axis; without, it is about 2000."""
REPORT_LENGTH = 12.0
"""Squared length of a report's vector: up to nine certain statements, the wording, and `whole`."""
MARGINS = 2
"""Axes of `whole` and of the bias."""
FILLING = 2


def axes_of_wording(config: TowerConfig, statements: int) -> int:
    """Return the number of axes that an embedding has left for the wording.

    Raises:
        CardexError: if none is left.
    """
    words = config.embedding - statements - MARGINS - FILLING
    if words < 1:
        raise CardexError(
            f"an embedding of {config.embedding} has no room for {statements} statements, the"
            f" wording and {MARGINS + FILLING} more: choose a larger one"
        )
    return words


class StatementSpace(nn.Module):
    """Projects a token to the statements' log-odds and to the wording."""

    def __init__(self, config: TowerConfig, statements: int) -> None:
        """Build both projections from a token of `config.width`.

        Raises:
            CardexError: if `config.embedding` leaves no axis for the wording.
        """
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.statements = nn.Linear(config.width, statements)
        self.wording = nn.Linear(config.width, axes_of_wording(config, statements))

    def forward(self, token: Tensor, added: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, D) to statement log-odds (B, S) and unit wording vectors (B, W).

        Args:
            token: (B, D).
            added: (B, W) what is added to the wording before it is made a unit vector, if anything.
        """
        token = self.norm(token)
        wording = self.wording(token)
        if added is not None:
            wording = wording + added
        return self.statements(token), F.normalize(wording, dim=-1)


@dataclass(frozen=True, slots=True)
class ReportParts:
    """What a report's vector is joined from.

    Attributes:
        probabilities: (B, S) that the report makes each statement.
        wording: (B, W) unit vectors, shorter for names of statements.
        whole: (B,) 1 for a whole report, 0 for the name of a statement.
        bias: (B,) what is added to the report's score with every ECG.
    """

    probabilities: Tensor
    wording: Tensor
    whole: Tensor
    bias: Tensor


def content_of_ecgs(log_odds: Tensor, wording: Tensor) -> Tensor:
    """Join (B, S) log-odds and (B, W) wording to what an ECG is scored by: (B, S + W)."""
    return torch.cat([log_odds, WORDING_WEIGHT * wording], dim=-1)


def content_of_reports(probabilities: Tensor, wording: Tensor) -> Tensor:
    """Join (B, S) probabilities and (B, W) wording to what a report is scored by: (B, S + W)."""
    return torch.cat([probabilities, wording], dim=-1)


def ecg_embedding(log_odds: Tensor, wording: Tensor, partition: Tensor) -> Tensor:
    """Join the parts of ECGs' vectors: (B, S + W + 4) unit vectors.

    Args:
        log_odds: (B, S), less a share of what is usual.
        wording: (B, W) unit vectors.
        partition: (B,).
    """
    level = torch.full_like(partition, LEVEL)
    margins = torch.stack([-partition, level], dim=-1)
    vector = torch.cat([content_of_ecgs(log_odds, wording), margins], dim=-1)
    rest = _rest(ECG_LENGTH, vector)
    return F.normalize(torch.cat([vector, rest, torch.zeros_like(rest)], dim=-1), dim=-1)


def report_embedding(parts: ReportParts) -> Tensor:
    """Join the parts of reports' vectors: (B, S + W + 4) unit vectors."""
    margins = torch.stack([parts.whole, parts.bias / LEVEL], dim=-1)
    content = content_of_reports(parts.probabilities, parts.wording)
    vector = torch.cat([content, margins], dim=-1)
    rest = _rest(REPORT_LENGTH, vector)
    return F.normalize(torch.cat([vector, torch.zeros_like(rest), rest], dim=-1), dim=-1)


def _rest(length: float, vector: Tensor) -> Tensor:
    return (length - vector.square().sum(dim=-1, keepdim=True)).clamp(min=0.0).sqrt()


class Margin(nn.Module):
    """The log of the mean exponential of scores with a population, which few prototypes stand for.

    Without prototypes, as in training, it is 0.

    Attributes:
        prototypes: (K, S + W) contents of the other side.
        offsets: (K,) log of each prototype's share of the population, plus its own bias.
    """

    prototypes: Tensor
    offsets: Tensor

    def __init__(self, content: int, count: int) -> None:
        """Make room for `count` prototypes of `content` axes."""
        super().__init__()
        self.register_buffer("prototypes", torch.zeros(count, content))
        self.register_buffer("offsets", torch.zeros(count))

    def forward(self, contents: Tensor) -> Tensor:
        """Map contents (B, S + W) of one side to (B,)."""
        if not len(self.offsets):
            return 0.0 * contents[:, 0]  # of the batch's size in a traced graph too
        # An einsum is no matrix product to the converters of graphs, which leave it in fp32.
        scores = torch.einsum("bc,kc->bk", contents, self.prototypes)
        return (scores + self.offsets).logsumexp(dim=-1)
