"""Retrieval figures on a held-out fold, chance and the majority baseline beside each.

Three protocols. *strict*: a gallery of records' reports, in which only the ECG's own entry is a hit and
equal scores are ordered at random. *distinct*: the same gallery with each text once, a hit is the same
text. *clinical*: how far the statements of the first five reports are those of the ECG.
"""

from collections.abc import Sequence

import numpy as np

from services.retrieval.ptbxl import Record
from services.signals.windows import best_window
from services.training.data import Ecgs, statement_matrix
from services.training.image import read_images
from services.training.metrics import Scores, by_text, jaccard, macro_auroc, ranks, recall
from services.training.run import Trained, read_texts


def evaluate(
    trained: Trained, ecgs: Ecgs, others: Sequence[Record], majority: Sequence[str]
) -> dict[str, object]:
    """Measure ECG-to-report retrieval.

    Args:
        trained: the encoders.
        ecgs: the fold.
        others: records whose reports fill the gallery up.
        majority: reports of the training folds, the commonest first: the baseline answers those.

    Returns:
        R@k per cent (strict, distinct) and the mean Jaccard index of the statements of the first five,
        each beside chance and the majority baseline, and the macro AUROC of the statements.
    """
    spec = trained.recipe.spec
    windows = np.stack([best_window(s, spec.window, spec.rate) for s in ecgs.signals])
    embeddings, odds = read_images(trained.image.encoder, windows, spec)
    gallery = [*ecgs.records, *others]
    reports, _ = read_texts(trained.text, trained.tokenizer, [record.text for record in gallery])
    commonest = {text: len(majority) - place for place, text in enumerate(majority)}
    random = np.random.default_rng(0)
    size = (len(ecgs.records), len(gallery))
    scores: dict[str, Scores] = {
        "model": (embeddings @ reports.T).numpy(),
        "majority": np.tile([commonest.get(r.text, 0) for r in gallery], (size[0], 1)),
        "chance": random.random(size, dtype=np.float32),
    }
    statements = statement_matrix(gallery, trained.codes) > 0
    own = np.arange(size[0])
    texts = sorted({record.text for record in gallery})
    place = {text: i for i, text in enumerate(texts)}
    columns = np.array([place[record.text] for record in gallery])
    return {
        "ecgs": size[0],
        "gallery": size[1],
        "distinct texts": len(texts),
        "strict": {name: recall(ranks(s, own, random)) for name, s in scores.items()},
        "distinct": {
            name: recall(ranks(by_text(s, columns), columns[own], random))
            for name, s in scores.items()
        },
        "jaccard@5": {
            name: jaccard(s, statements[own], statements, random) for name, s in scores.items()
        },
        "macro_auroc": macro_auroc(odds.numpy(), statements[own]),
    }


def fill_up(
    records: Sequence[Record], ecgs: Ecgs, folds: Sequence[int], size: int, seed: int = 0
) -> list[Record]:
    """Draw the records that fill the gallery of `ecgs` up to `size`, from `folds`, seeded."""
    own = {record.ecg_id for record in ecgs.records}
    pool = [r for r in records if r.fold in folds and r.text and r.ecg_id not in own]
    count = min(len(pool), max(0, size - len(ecgs.records)))
    chosen = np.random.default_rng(seed).choice(len(pool), count, replace=False)
    return [pool[i] for i in sorted(chosen)]
