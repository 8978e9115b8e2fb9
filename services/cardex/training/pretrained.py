"""A report encoder over a pretrained language model, from a folder or the Hugging Face hub."""

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from cardex.domain.errors import CardexError
from cardex.training.blocks import TowerConfig
from cardex.training.text_encoder import ReportEncoder

PADDING = 0
"""Id of the padding, in the tokenizer's file, the graph, and Triton's warm-up."""

REMEDY = (
    "give a folder with config.json, weights and tokenizer.json, or the name of a model on"
    " huggingface.co; without a network, run `hf download NAME` elsewhere and copy the folder"
)


def load_pretrained(name: str, length: int) -> tuple[nn.Module, Tokenizer]:
    """Load a BERT-like encoder and its tokenizer.

    Args:
        name: a folder, or a model's name on the Hugging Face hub.
        length: tokens of a report; longer ones are cut, shorter ones padded with `PADDING`.

    Returns:
        The backbone, a `transformers` model in float32, and its tokenizer.

    Raises:
        CardexError: if there is no such model, or it cannot be used: padding is not id 0, the first
            token is not [CLS], it has fewer than `length` positions, or it has a decoder.
    """
    try:
        # Never run a model's own code; None instead of False would ask on the terminal.
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        backbone = AutoModel.from_pretrained(name, trust_remote_code=False, dtype=torch.float32)
    except Exception as error:  # the loaders raise many types; damaged tokenizers plain Exception
        raise CardexError(f"cannot load the text encoder {name}: {error}: {REMEDY}") from error
    if problem := _mismatch(tokenizer, backbone, length):
        raise CardexError(f"the text encoder {name} does not suit Cardex: {problem}")
    return backbone, _of_length(tokenizer, length)


def _of_length(tokenizer: PreTrainedTokenizerBase, length: int) -> Tokenizer:
    """Return a copy of the tokenizer that cuts and pads every text to `length` ids."""
    own = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    own.enable_truncation(length)
    own.enable_padding(length=length, pad_id=PADDING, pad_token=tokenizer.pad_token)
    return own


def _mismatch(tokenizer: PreTrainedTokenizerBase, backbone: nn.Module, length: int) -> str:
    """Return the reason why Cardex cannot use tokenizer and backbone, "" if it can."""
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        return "it has no fast tokenizer (tokenizer.json), which Cardex serves"
    return _mismatch_of_ids(tokenizer) or _mismatch_of_sizes(len(tokenizer), backbone, length)


def _mismatch_of_ids(tokenizer: PreTrainedTokenizerBase) -> str:
    if tokenizer.pad_token_id != PADDING:
        return (
            f"its padding {tokenizer.pad_token} has id {tokenizer.pad_token_id} and Cardex pads"
            f" with {PADDING}: take a model of the BERT family (RoBERTa's padding is 1)"
        )
    first = tokenizer.backend_tokenizer.encode("ecg").tokens[:1]
    if tokenizer.cls_token is None or first != [tokenizer.cls_token]:
        return f"a text begins with {first} and not with [CLS], whose state stands for the report"
    return ""


def _mismatch_of_sizes(ids: int, backbone: nn.Module, length: int) -> str:
    if backbone.config.is_encoder_decoder:
        return "it is an encoder with a decoder: take one with an encoder alone, such as BERT"
    embedded = backbone.get_input_embeddings().num_embeddings
    if ids > embedded:
        return (
            f"its tokenizer has {ids} ids and its embedding {embedded}: they do not belong together"
        )
    positions = getattr(backbone.config, "max_position_embeddings", length)
    if length > positions:
        return f"it has {positions} positions and a report has {length} tokens: set a lower length"
    return ""


class PretrainedTextEncoder(ReportEncoder):
    """A pretrained backbone whose first token's state is projected to the shared space."""

    def __init__(
        self, backbone: nn.Module, embedding: int, statements: int, prototypes: int = 0
    ) -> None:
        """Build over a backbone of `load_pretrained`.

        Args:
            backbone: maps `input_ids` and `attention_mask` to a `last_hidden_state`.
            embedding: dimension of the shared space.
            statements: number of statement axes of the space.
            prototypes: number of ECGs that stand for all training ECGs in the popularity.
        """
        super().__init__()
        self.backbone = backbone
        config = backbone.config
        tower = TowerConfig(
            width=config.hidden_size,
            depth=config.num_hidden_layers,
            heads=config.num_attention_heads,
            embedding=embedding,
        )
        self._make_space(tower, statements, prototypes)

    def tokens(self, token_ids: Tensor) -> Tensor:
        """Map (B, length) int32 to the last hidden states (B, length, D)."""
        ids = token_ids.long()
        hidden: Tensor = self.backbone(
            input_ids=ids, attention_mask=(ids != PADDING).long()
        ).last_hidden_state
        return hidden
