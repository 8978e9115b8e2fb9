import hashlib

import numpy as np
import pytest

from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import newest
from cardex.inference.tokenizer import ReportTokenizer

LENGTH = 64
CLS, SEP = 2, 3


@pytest.fixture(scope="module")
def path(root):
    return newest(root / "model_repository").tokenizer


@pytest.fixture(scope="module")
def tokenizer(path):
    return ReportTokenizer(path)


def test_every_report_has_the_same_number_of_tokens(tokenizer):
    tokens = tokenizer.encode(["sinus rhythm", "", "sinusrhythmus " * 200])
    assert (tokens.shape, tokens.dtype) == ((3, LENGTH), np.int32)


def test_a_short_report_is_padded_with_0(tokenizer):
    (tokens,) = tokenizer.encode(["sinus rhythm"])
    used = np.flatnonzero(tokens)
    assert used.tolist() == list(range(len(used)))
    assert (tokens[0], tokens[used[-1]]) == (CLS, SEP)
    assert len(used) < LENGTH


def test_a_long_report_is_cut(tokenizer):
    (tokens,) = tokenizer.encode(["sinusrhythmus " * 200])
    assert tokens.all()
    assert tokens[-1] == SEP


def test_case_does_not_matter(tokenizer):
    upper, lower = tokenizer.encode(["SINUS RHYTHM", "sinus rhythm"])
    np.testing.assert_array_equal(upper, lower)


def test_other_words_are_other_tokens(tokenizer):
    one, other = tokenizer.encode(["sinus rhythm", "atrial fibrillation"])
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("text", ["心電図", "🫀", "\x00", "ä" * 1000])
def test_any_text_can_be_tokenized(tokenizer, text):
    assert tokenizer.encode([text]).shape == (1, LENGTH)


def test_a_report_has_the_same_tokens_alone_and_in_a_batch(tokenizer):
    texts = ["sinus rhythm", "left axis deviation. otherwise normal ecg.", "normales ekg"]
    alone = np.concatenate([tokenizer.encode([text]) for text in texts])
    np.testing.assert_array_equal(tokenizer.encode(texts), alone)


def test_the_fingerprint_is_that_of_the_file(path, tokenizer):
    assert tokenizer.fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_missing_file_stops_the_start_with_its_name(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.json"):
        ReportTokenizer(tmp_path / "none.json")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"version": "1.0"}'])
def test_a_file_that_is_no_tokenizer_stops_the_start(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"tokenizer\.json"):
        ReportTokenizer(tmp_path / "tokenizer.json")
