"""From PTB-XL to a pair of encoders: what `cardex train` does."""

import logging
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from services.retrieval.ptbxl import DUPLICATES, Record, read_records
from services.signals.spec import ImageSpec
from services.training.data import Ecgs, load, statement_matrix
from services.training.image import ImageTower, train_image
from services.training.models import TextEncoder, TowerConfig
from services.training.text import LENGTH, token_ids, train_text, train_tokenizer

logger = logging.getLogger(__name__)

TRAINING_FOLDS = tuple(range(1, 9))
TEST_FOLD = 9
MIN_RECORDS = 20


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the result, beside the data.

    Attributes:
        text_epochs: passes over the reports of the training folds.
        image_epochs: passes over their waveforms.
        seed: of every random choice.
    """

    spec: ImageSpec = ImageSpec(layout="raster", scaling="deviation")
    text: TowerConfig = TowerConfig(width=128, depth=3, heads=4)
    image: TowerConfig = TowerConfig(width=192, depth=4, heads=6)
    text_epochs: int = 6
    image_epochs: int = 12
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Trained:
    """The two towers, the tokenizer and the statements they learned."""

    recipe: Recipe
    tokenizer: Tokenizer
    text: TextEncoder
    image: ImageTower
    codes: list[str]


def train(folder: Path, work: Path, recipe: Recipe) -> Trained:
    """Train both towers on folds 1-8 of `folder`; `work` keeps finished stages for the next call."""
    torch.manual_seed(recipe.seed)
    work.mkdir(parents=True, exist_ok=True)
    records = [
        record
        for record in read_records(folder)
        if record.fold in TRAINING_FOLDS and record.text and record.ecg_id not in DUPLICATES
    ]
    codes = frequent_codes(records)
    tokenizer, text = _text_tower(records, codes, work, recipe)
    ecgs = load(folder, work)
    logger.info("%d waveforms in the training folds", len(ecgs.of_folds(TRAINING_FOLDS).records))
    image = _image_tower(
        records, ecgs.of_folds(TRAINING_FOLDS), codes, tokenizer, text, work, recipe
    )
    return Trained(recipe, tokenizer, text, image, codes)


def frequent_codes(records: list[Record]) -> list[str]:
    """Return the statements that at least `MIN_RECORDS` records carry, in order."""
    counts = Counter(code for record in records for code in record.codes)
    return sorted(code for code, count in counts.items() if count >= MIN_RECORDS)


def _text_tower(
    records: list[Record], codes: list[str], work: Path, recipe: Recipe
) -> tuple[Tokenizer, TextEncoder]:
    stage, vocabulary_file = work / "text.pt", work / "tokenizer.json"
    if stage.is_file() and vocabulary_file.is_file():
        tokenizer = Tokenizer.from_file(str(vocabulary_file))
        encoder = TextEncoder(recipe.text, tokenizer.get_vocab_size(), LENGTH, len(codes))
        encoder.load_state_dict(torch.load(stage))
        return tokenizer, encoder.eval()
    tokenizer = train_tokenizer(sorted({record.text for record in records}))
    ids = token_ids(tokenizer, [record.text for record in records])
    statements = statement_matrix(records, codes)
    vocabulary = tokenizer.get_vocab_size()
    encoder = train_text(ids, statements, recipe.text, vocabulary, recipe.text_epochs)
    torch.save(encoder.state_dict(), stage)
    tokenizer.save(str(vocabulary_file))
    return tokenizer, encoder


def _image_tower(
    records: list[Record],
    ecgs: Ecgs,
    codes: list[str],
    tokenizer: Tokenizer,
    text: TextEncoder,
    work: Path,
    recipe: Recipe,
) -> ImageTower:
    stage = work / f"image-{recipe.spec.id}.pt"
    tower = ImageTower(recipe.image, recipe.spec, torch.zeros(len(codes)))
    if stage.is_file():
        tower.load_state_dict(torch.load(stage))
        return tower.eval()
    texts = sorted({record.text for record in records})
    bank = read_texts(text, tokenizer, texts)[1]
    keep = [i for i, record in enumerate(ecgs.records) if record.text]
    kept = [ecgs.records[i] for i in keep]
    place = {report: i for i, report in enumerate(texts)}
    own = np.array([place[record.text] for record in kept])
    tower = train_image(
        ecgs.signals[keep], statement_matrix(kept, codes), own, bank,
        recipe.spec, recipe.image, recipe.image_epochs,
    )  # fmt: skip
    torch.save(tower.state_dict(), stage)
    return tower


@torch.no_grad()
def read_texts(
    encoder: TextEncoder, tokenizer: Tokenizer, texts: list[str]
) -> tuple[Tensor, Tensor]:
    """Return embeddings (reports, embedding) and wordings (reports, wording) of reports."""
    encoder.eval()
    embeddings, wordings = [], []
    for first in range(0, len(texts), 256):
        log_odds, wording = encoder.read(token_ids(tokenizer, texts[first : first + 256]))
        embeddings.append(encoder.join(log_odds, wording))
        wordings.append(wording)
    return torch.cat(embeddings), torch.cat(wordings)


def describe(recipe: Recipe) -> dict[str, object]:
    """Return the recipe as plain values, for the model card."""
    return asdict(recipe)
