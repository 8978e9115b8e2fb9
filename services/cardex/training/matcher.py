"""The matcher: a cross-encoder that scores whether a report belongs to an ECG's image."""

from torch import Tensor, nn

from cardex.training.blocks import Block, TowerConfig, attention
from cardex.training.image_encoder import ImageEncoder, Vit
from cardex.training.text_encoder import TextEncoder


class Matcher(nn.Module):
    """The report encoder's blocks with cross-attention to the image's tokens (Qiu et al. 2023)."""

    def __init__(self, image: ImageEncoder | Vit, text: TextEncoder) -> None:
        """Build over an image encoder; weights start as those of the report encoder `text`."""
        super().__init__()
        config = text.config
        self.image = image
        self.bridge = nn.Linear(image.width, config.width)
        self.embed = nn.Embedding.from_pretrained(text.embed.weight.detach().clone(), freeze=False)
        self.position = nn.Parameter(text.position.detach().clone())
        self.blocks = nn.ModuleList(CrossBlock(config) for _ in range(config.depth))
        for own, other in zip(self.blocks, text.blocks, strict=True):
            own.block.load_state_dict(other.state_dict())
        self.norm = nn.LayerNorm(config.width)
        self.match = nn.Linear(config.width, 1)
        self.language = nn.Linear(config.width, self.embed.num_embeddings)

    def fuse(self, seen: Tensor, token_ids: Tensor) -> Tensor:
        """Map image tokens (B, N, D) and (B, M) int32 to report tokens (B, M, D)."""
        mask = (token_ids != 0)[:, None, None, :]
        tokens = self.embed(token_ids) + self.position[:, : token_ids.shape[1]]
        for block in self.blocks:
            tokens = block(tokens, seen, mask)
        fused: Tensor = self.norm(tokens)
        return fused

    def score(self, seen: Tensor, token_ids: Tensor) -> Tensor:
        """Return the logit that each report, (B, M) int32, belongs to its image tokens: (B,)."""
        logit: Tensor = self.match(self.fuse(seen, token_ids)[:, 0]).squeeze(-1)
        return logit

    def forward(self, image: Tensor, token_ids: Tensor) -> Tensor:
        """Map (B, height, width, channels) uint8 and (B, K, M) int32 to match logits (B, K)."""
        batch, count, length = token_ids.shape
        seen = self.bridge(self.image.tokens(image))  # (B, N, D)
        seen = seen[:, None].expand(-1, count, -1, -1).reshape(batch * count, *seen.shape[1:])
        return self.score(seen, token_ids.reshape(batch * count, length)).view(batch, count)


class CrossBlock(nn.Module):
    """Transformer block with cross-attention after the self-attention (ALBEF, Li 2021)."""

    def __init__(self, config: TowerConfig) -> None:
        """Build the block; self-attention and feed-forward network are a `Block`'s."""
        super().__init__()
        self.block = Block(config)
        self.heads = config.heads
        self.norm = nn.LayerNorm(config.width)
        self.query = nn.Linear(config.width, config.width)
        self.key_value = nn.Linear(config.width, 2 * config.width)
        self.out = nn.Linear(config.width, config.width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, tokens: Tensor, seen: Tensor, mask: Tensor) -> Tensor:
        """Map report tokens (B, M, D), which attend to image tokens (B, N, D), to (B, M, D)."""
        tokens = self.block.attend(tokens, mask)
        batch, count, width = tokens.shape
        split = (batch, -1, self.heads, width // self.heads)
        query = self.query(self.norm(tokens)).view(split).transpose(1, 2)  # (B, H, M, D/H)
        key, value = (
            part.reshape(split).transpose(1, 2) for part in self.key_value(seen).chunk(2, dim=-1)
        )
        found = attention(query, key, value)
        tokens = tokens + self.out(found.transpose(1, 2).reshape(batch, count, width))
        return self.block.feed(tokens)
