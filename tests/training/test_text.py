import subprocess
import sys

import numpy as np
import torch

from cardex.training.distributed import DistributedContext
from cardex.training.text import read_texts
from cardex.training.tokens import LENGTH, PIECES, token_ids, train_tokenizer
from cardex.training.words import frequent_terms, term_matrix, terms, wording

REPORTS = [
    f"{rhythm}. {rest} {number}"
    for number in range(12)
    for rhythm in ("sinus rhythm", "vorhofflimmern", "sinus tachycardia")
    for rest in ("normal ecg", "linksschenkelblock", "voltages are low")
]


def test_ids_are_padded_and_begin_with_cls():
    tokenizer = train_tokenizer(REPORTS, 200)
    ids = token_ids(tokenizer, ["Sinus Rhythm", "sinus rhythm", "sinus " * 100])
    assert ids.shape == (3, LENGTH)
    assert ids.dtype == np.int32
    assert ids[0].tolist() == ids[1].tolist()
    assert ids[0, 0] == PIECES.cls == tokenizer.token_to_id("[CLS]")
    assert ids[0, -1] == PIECES.pad
    assert ids[2, -1] == PIECES.sep


def test_common_words_are_one_piece_and_others_are_told_apart():
    tokenizer = train_tokenizer([*REPORTS, "überleitungsstörung"], 200)
    assert tokenizer.encode("vorhofflimmern").tokens[:3] == ["[CLS]", "vorhofflimmern", "[SEP]"]
    unseen = tokenizer.encode("vorhofflattern").tokens
    assert "[UNK]" not in unseen
    assert tokenizer.encode("überleitung").tokens != tokenizer.encode("uberleitung").tokens
    assert tokenizer.encode("心").tokens[1] == "[UNK]"


def test_the_vocabulary_is_the_same_in_every_process():
    code = (
        "from tests.training.test_text import REPORTS;"
        "from cardex.training.tokens import train_tokenizer;"
        "import hashlib; print(hashlib.sha256(train_tokenizer(REPORTS, 120).to_str().encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            check=True, capture_output=True, text=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(digests) == 1


def test_reports_of_like_wording_are_near():
    words = wording(REPORTS, 12)
    np.testing.assert_allclose(np.linalg.norm(words, axis=1), 1.0, atol=1e-5)
    cosine = words @ words.T
    phrases = np.arange(len(REPORTS)) % 9  # rhythm and rest; only the number differs
    same = phrases[:, None] == phrases[None]
    np.fill_diagonal(same, False)
    other = (phrases[:, None] // 3 != phrases[None] // 3) & (
        phrases[:, None] % 3 != phrases[None] % 3
    )
    assert cosine[same].mean() > cosine[other].mean() + 0.3
    np.testing.assert_array_equal(words, wording(REPORTS, 12))


def test_terms_are_words_and_pairs():
    assert terms("Kein Ischämie-Zeichen.") == [
        "kein", "ischämie", "zeichen", "kein ischämie", "ischämie zeichen",
    ]  # fmt: skip
    known = frequent_terms(["a b"] * 5 + ["c"] * 4)
    assert known == ["a", "a b", "b"]
    np.testing.assert_array_equal(term_matrix(["b a", "a b c"], known), [[1, 0, 1], [1, 1, 1]])


def test_an_encoder_learns_what_reports_state(reports):
    embeddings, wordings = read_texts(reports.encoder, reports.ids, DistributedContext())
    torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(len(embeddings)))
    torch.testing.assert_close(wordings.norm(dim=-1), torch.ones(len(wordings)))
    fast = np.array(["tachy" in text for text in reports.corpus.texts])
    axis = reports.corpus.codes.index("FAST")
    order = embeddings[:, axis].numpy()
    assert order[fast].min() > order[~fast].max()
