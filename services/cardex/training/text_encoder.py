"""Report encoders: a report's words to its statements and its wording."""

import torch
from torch import Tensor, nn

from cardex.training.blocks import Block, TowerConfig
from cardex.training.space import (
    NAME_WORDING,
    POPULARITY_SHARE,
    Margin,
    ReportParts,
    StatementSpace,
    content_of_reports,
    report_embedding,
)

SPECIALS = 5
"""Ids below this one are padding, unknown, and marks; they are no words."""
PAIRS = 16384
"""Number of vectors for pairs of neighbouring pieces; pairs are hashed to them."""
_PRIMES = (7919, 104729)
TABLE_RATE = 10.0
"""The tables' vectors are multiplied by this, so that they learn so much faster: each is seen in
few steps, and the optimiser's steps are of one size."""


class ReportEncoder(nn.Module):
    """Base of the report encoders: the first token's state is projected to the shared space.

    Attributes:
        space: the projections.
        whole: projects the same state to the log-odds that the text is a whole report, and not the
            name of a statement.
        popularity: the popularity of each report; 0 until it was fitted.
        usual: (S,) what image encoders take off their log-odds of each statement.
    """

    space: StatementSpace
    whole: nn.Linear
    popularity: Margin
    usual: Tensor

    def _make_space(self, config: TowerConfig, statements: int, prototypes: int) -> None:
        """Make the projections from states of `config.width`."""
        self.space = StatementSpace(config, statements)
        self.whole = nn.Linear(config.width, 1)
        content = statements + self.space.wording.out_features
        self.popularity = Margin(content, prototypes)
        self.register_buffer("usual", torch.zeros(statements))

    def tokens(self, token_ids: Tensor) -> Tensor:
        """Map (B, n) int32, 0 where padded, to tokens (B, n, D), [CLS] first."""
        raise NotImplementedError

    def read(self, token_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (B, n) int32 to statement log-odds, wording, and log-odds of a whole report."""
        state = self.tokens(token_ids)[:, 0]
        log_odds, wording = self.space(state, self.counted(token_ids))
        return log_odds, wording, self.whole(state).squeeze(-1)

    def counted(self, token_ids: Tensor) -> Tensor | None:  # for those that count
        """Return what an encoder adds to the wording by counting pieces, (B, W), if it does."""
        return None

    def forward(self, token_ids: Tensor) -> Tensor:
        """Map (B, length) int32 to (B, embedding) unit vectors."""
        return self.join(*self.read(token_ids))

    def join(self, log_odds: Tensor, wording: Tensor, whole: Tensor) -> Tensor:
        """Make embeddings from the outputs of `read`: (B, embedding) unit vectors."""
        probabilities, share = torch.sigmoid(log_odds), torch.sigmoid(whole)
        popularity = self.popularity(content_of_reports(probabilities, wording))
        # The name of a statement is scored by the log-odds themselves: what was taken off is added.
        added = (probabilities * self.usual).sum(dim=-1)
        bias = (1.0 - share) * added - share * POPULARITY_SHARE * popularity
        worded = NAME_WORDING + (1.0 - NAME_WORDING) * share
        return report_embedding(ReportParts(probabilities, worded[:, None] * wording, share, bias))


class TextEncoder(ReportEncoder):
    """BERT-style encoder (Devlin 2019) over WordPiece ids; id 0 is padding, the first is [CLS].

    The wording also has a sum of vectors of pieces and of pairs of neighbours, by which a vector of
    word frequencies can be reproduced exactly.
    """

    def __init__(
        self, config: TowerConfig, vocabulary: int, length: int, statements: int,
        prototypes: int = 0,
    ) -> None:  # fmt: skip
        """Build for `vocabulary` ids, reports of `length` tokens and `statements` axes.

        Args:
            config: size of the tower.
            vocabulary: number of ids.
            length: tokens of the longest report.
            statements: number of statement axes.
            prototypes: number of ECGs that stand for all training ECGs in the popularity.
        """
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(vocabulary, config.width)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.position = nn.Parameter(0.02 * torch.randn(1, length, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self._make_space(config, statements, prototypes)
        words = self.space.wording.out_features
        self.pieces = nn.Embedding(vocabulary, words)
        self.pairs = nn.Embedding(PAIRS, words)
        nn.init.zeros_(self.pieces.weight)
        nn.init.zeros_(self.pairs.weight)

    def tokens(self, token_ids: Tensor) -> Tensor:
        """Map (B, n) int32, n up to `length`, to tokens (B, n, D), [CLS] first."""
        mask = (token_ids != 0)[:, None, None, :]
        tokens = self.embed(token_ids) + self.position[:, : token_ids.shape[1]]
        for block in self.blocks:
            tokens = block(tokens, mask)
        return tokens

    def counted(self, token_ids: Tensor) -> Tensor:
        """Sum the vectors of the pieces and pairs of (B, n) ids: (B, W)."""
        word = (token_ids >= SPECIALS).unsqueeze(-1)
        single = (self.pieces(token_ids) * word).sum(dim=1)
        first, second = token_ids[:, :-1].long(), token_ids[:, 1:].long()
        places = (first * _PRIMES[0] + second * _PRIMES[1]) % PAIRS
        double = (self.pairs(places) * (word[:, :-1] & word[:, 1:])).sum(dim=1)
        return TABLE_RATE * (single + double)
