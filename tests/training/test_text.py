import numpy as np
import torch

from services.training.metrics import macro_auroc
from services.training.models import TowerConfig
from services.training.run import read_texts
from services.training.text import LENGTH, token_ids, train_text, train_tokenizer, wording

REPORTS = [
    f"{rhythm}. {rest} {number}"
    for number in range(12)
    for rhythm in ("sinus rhythm", "vorhofflimmern", "sinus tachycardia")
    for rest in ("normal ecg", "linksschenkelblock", "voltages are low")
]
CONFIG = TowerConfig(width=32, depth=1, heads=2, embedding=24, dropout=0.0)


def test_ids_are_padded_and_begin_with_cls():
    tokenizer = train_tokenizer(REPORTS, vocabulary=200)
    ids = token_ids(tokenizer, ["Sinus Rhythm", "sinus rhythm"])
    assert ids.shape == (2, LENGTH)
    assert ids[0].tolist() == ids[1].tolist()
    assert ids[0, 0] == tokenizer.token_to_id("[CLS]")
    assert ids[0, -1] == 0


def test_reports_of_like_wording_are_near():
    tokenizer = train_tokenizer(REPORTS, vocabulary=200)
    words = wording(token_ids(tokenizer, REPORTS), tokenizer.get_vocab_size(), 12)
    np.testing.assert_allclose(np.linalg.norm(words, axis=1), 1.0, atol=1e-5)
    cosine = words @ words.T
    phrases = np.arange(len(REPORTS)) % 9  # rhythm and rest; only the number differs
    same = phrases[:, None] == phrases[None]
    np.fill_diagonal(same, False)
    other = (phrases[:, None] // 3 != phrases[None] // 3) & (
        phrases[:, None] % 3 != phrases[None] % 3
    )
    assert cosine[same].mean() > cosine[other].mean() + 0.3


def test_an_encoder_learns_what_reports_state():
    tokenizer = train_tokenizer(REPORTS, vocabulary=200)
    stated = np.array([["vorhofflimmern" in r, "normal" in r] for r in REPORTS], np.float32)
    ids = token_ids(tokenizer, REPORTS)
    encoder = train_text(ids, stated, CONFIG, tokenizer.get_vocab_size(), epochs=40)
    with torch.no_grad():
        log_odds, found = encoder.read(ids)
    assert macro_auroc(log_odds.numpy(), stated > 0) > 0.99
    embeddings, wordings = read_texts(encoder, tokenizer, REPORTS)
    torch.testing.assert_close(wordings, found)
    torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(len(REPORTS)))
