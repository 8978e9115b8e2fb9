import subprocess
import sys

import numpy as np
import torch

from cardex.training.distributed import DistributedContext
from cardex.training.text import read_texts
from cardex.training.tokens import LENGTH, PIECES, token_ids, train_tokenizer
from cardex.training.words import frequent_terms, term_matrix, wording

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
        "import hashlib; content = train_tokenizer(REPORTS, 120).to_str().encode();"
        "print(hashlib.sha256(content).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": "services:."},
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


def test_wording_is_tf_idf_reduced_by_svd():
    """Against the formula, on texts whose terms are counted by hand."""
    texts = ["a a b", "b c", "a c c"]
    counts = np.array([  # a, a a, a b, a c, b, b c, c, c c
        [2, 1, 1, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 0],
        [1, 0, 0, 1, 0, 0, 2, 1],
    ])  # fmt: skip
    weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0.0)
    weights *= np.log(len(texts) / (counts > 0).sum(axis=0))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    left, singular, _ = np.linalg.svd(weights, full_matrices=False)
    expected = left[:, :2] * np.sqrt(singular[:2])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = wording(texts, 4)
    assert not found[:, 2:].any()  # three texts have two axes
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-6)


def test_terms_are_words_and_pairs():
    assert frequent_terms(["Kein Ischämie-Zeichen."] * 5) == [
        "ischämie", "ischämie zeichen", "kein", "kein ischämie", "zeichen",
    ]  # fmt: skip
    known = frequent_terms(["a b"] * 5 + ["c"] * 4)
    assert known == ["a", "a b", "b"]
    np.testing.assert_array_equal(term_matrix(["b a", "a b c"], known), [[1, 0, 1], [1, 1, 1]])
    assert term_matrix(["a", "b"], []).shape == (2, 0)


def test_an_encoder_learns_what_reports_state(reports):
    embeddings, _, wordings = read_texts(reports.encoder, reports.ids, DistributedContext())
    torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(len(embeddings)))
    torch.testing.assert_close(wordings.norm(dim=-1), torch.ones(len(wordings)))
    fast = np.array(["tachy" in text for text in reports.corpus.texts])
    axis = reports.corpus.codes.index("FAST")
    order = embeddings[:, axis].numpy()
    assert order[fast].min() > order[~fast].max()
