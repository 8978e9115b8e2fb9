import json
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5Model,
)

from cardex.domain.errors import CardexError
from cardex.training.distributed import DistributedContext
from cardex.training.embedder import TorchEmbedder
from cardex.training.pretrained import PretrainedTextEncoder, load_pretrained
from cardex.training.recipe import MatcherRecipe
from cardex.training.run import train
from cardex.training.text_stage import Reports
from cardex.training.trainer import Plan
from tests.training.conftest import DESCRIPTIONS

LENGTH = 16
STATEMENTS, EMBEDDING = 5, 24
REPORTS = ["sinusrhythmus lagetyp normal normales ekg", "sinus rhythm", "vorhofflimmern. " * 20]
SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 32,
}  # fmt: skip


def save_tokenizer(folder: Path, texts: list[str] = REPORTS, **special: str) -> int:
    """Save a WordPiece tokenizer of the texts; returns its number of ids."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ids = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=ids, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]",
             "unk_token": "[UNK]", "mask_token": "[MASK]"}  # fmt: skip
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **(names | special)).save_pretrained(folder)
    return tokenizer.get_vocab_size()


@pytest.fixture
def bert(tmp_path) -> Path:
    """A tiny BERT and its tokenizer in a folder, as a download would lie there."""
    vocabulary = save_tokenizer(tmp_path)
    BertModel(BertConfig(vocab_size=vocabulary, **SMALL)).save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def encoder(bert) -> PretrainedTextEncoder:
    backbone, _ = load_pretrained(str(bert), LENGTH)
    return PretrainedTextEncoder(backbone, EMBEDDING, STATEMENTS).eval()


@pytest.fixture
def ids(bert) -> torch.Tensor:
    _, tokenizer = load_pretrained(str(bert), LENGTH)
    encoded = tokenizer.encode_batch(REPORTS)
    return torch.tensor([item.ids for item in encoded], dtype=torch.int32)


def test_the_tokenizer_gives_one_length_padded_with_nought(ids):
    assert ids.shape == (3, LENGTH)
    assert ids.dtype == torch.int32
    assert (ids[:, 0] == 2).all()
    assert ids[1, -1] == 0
    assert ids[2, -1] == 3  # cut, and still ended by [SEP]


def test_a_vocabulary_file_is_enough_of_a_tokenizer(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "sinus", "rhythm"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    BertModel(BertConfig(vocab_size=len(words), **SMALL)).save_pretrained(tmp_path)
    _, tokenizer = load_pretrained(str(tmp_path), 8)
    assert tokenizer.encode("Sinus rhythm").ids == [2, 5, 6, 3, 0, 0, 0, 0]


def test_the_encoder_reads_as_the_own_one_does(encoder, ids):
    log_odds, wording, whole = encoder.read(ids)
    assert log_odds.shape == (3, STATEMENTS)
    torch.testing.assert_close(wording.norm(dim=-1), torch.ones(3))
    embedding = encoder(ids)
    assert embedding.shape == (3, EMBEDDING)
    torch.testing.assert_close(embedding, encoder.join(log_odds, wording, whole))
    torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(3))
    assert encoder.tokens(ids).shape == (3, LENGTH, SMALL["hidden_size"])


def test_padding_does_not_change_a_report(encoder, ids):
    length = int((ids[1] != 0).sum())
    torch.testing.assert_close(encoder(ids)[1:2], encoder(ids[1:2, :length]), atol=1e-5, rtol=0)


def test_the_backbone_s_weights_are_the_saved_ones(bert, encoder):
    saved = BertModel.from_pretrained(bert).embeddings.word_embeddings.weight
    assert torch.equal(encoder.backbone.embeddings.word_embeddings.weight, saved)


def test_a_backbone_saved_in_half_precision_is_read_in_full(bert):
    BertModel.from_pretrained(bert).half().save_pretrained(bert)
    backbone, _ = load_pretrained(str(bert), LENGTH)
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}


def test_the_code_of_a_model_is_not_run(bert):
    config = json.loads((bert / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
    (bert / "config.json").write_text(json.dumps(config))
    (bert / "own.py").write_text("raise SystemExit('ran')")
    with pytest.raises(CardexError, match="cannot load the text encoder"):
        load_pretrained(str(bert), LENGTH)


def test_gradients_reach_the_backbone(encoder, ids):
    encoder.train()(ids).sum().backward()
    assert encoder.backbone.embeddings.word_embeddings.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("padded", [True, False])
def test_the_exported_graph_answers_as_torch_does(encoder, ids, tmp_path, padded):
    """The graph is traced with one input and must hold for every other: padded, full, any batch."""
    full = ids.clone()
    full[:, 1:-1] = torch.arange(5, 5 + LENGTH - 2)
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        encoder, (ids if padded else full,), str(path),
        input_names=["token_ids"], output_names=["embedding"],
        dynamic_axes={"token_ids": {0: "batch"}, "embedding": {0: "batch"}},
        opset_version=18, dynamo=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (ids, full, ids[1:2], full[:1], torch.cat([full, ids])):
        with torch.no_grad():
            expected = encoder(batch).numpy()
        (found,) = session.run(None, {"token_ids": batch.numpy()})
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


def test_a_missing_folder_is_told_with_the_remedy(tmp_path):
    with pytest.raises(CardexError, match=r"cannot load the text encoder .*config\.json"):
        load_pretrained(str(tmp_path / "nothing"), LENGTH)


def test_a_name_without_network_is_told_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CardexError, match="hf download"):
        load_pretrained("nobody/no-such-model", LENGTH)


def test_damaged_files_are_told_with_the_remedy(bert):
    (bert / "tokenizer.json").write_text("{}")
    with pytest.raises(CardexError, match="cannot load the text encoder"):
        load_pretrained(str(bert), LENGTH)


def test_damaged_weights_are_told_with_the_remedy(bert):
    (bert / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(CardexError, match="cannot load the text encoder"):
        load_pretrained(str(bert), LENGTH)


def test_another_padding_is_refused(tmp_path):
    vocabulary = save_tokenizer(tmp_path, pad_token="[UNK]")
    RobertaModel(RobertaConfig(vocab_size=vocabulary, **SMALL)).save_pretrained(tmp_path)
    with pytest.raises(CardexError, match=r"padding \[UNK\] has id 1 .* BERT family"):
        load_pretrained(str(tmp_path), LENGTH)


def test_another_first_token_is_refused(bert):
    save_tokenizer(bert, cls_token="[MASK]")
    with pytest.raises(CardexError, match=r"begins with \['\[CLS\]'\]"):
        load_pretrained(str(bert), LENGTH)


def test_a_decoder_is_refused(tmp_path):
    vocabulary = save_tokenizer(tmp_path)
    config = T5Config(vocab_size=vocabulary, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    T5Model(config).save_pretrained(tmp_path)
    with pytest.raises(CardexError, match="encoder with a decoder"):
        load_pretrained(str(tmp_path), LENGTH)


def test_a_tokenizer_of_another_model_is_refused(bert):
    BertModel(BertConfig(vocab_size=7, **SMALL)).save_pretrained(bert)
    with pytest.raises(CardexError, match="its embedding 7"):
        load_pretrained(str(bert), LENGTH)


def test_more_tokens_than_positions_are_refused(bert):
    with pytest.raises(CardexError, match="32 positions and a report has 64"):
        load_pretrained(str(bert), 64)


@pytest.fixture
def over_bert(bert, corpus, recipe):
    """A recipe over a BERT of as many positions as a report has tokens."""
    vocabulary = save_tokenizer(bert, corpus.texts)
    config = BertConfig(vocab_size=vocabulary, **(SMALL | {"max_position_embeddings": 64}))
    BertModel(config).save_pretrained(bert)
    text = msgspec.structs.replace(
        recipe.text, pretrained=str(bert), plan=Plan(epochs=10, batch=16, rate=1e-3)
    )
    image = msgspec.structs.replace(recipe.image, plan=Plan(epochs=1, batch=16))
    return msgspec.structs.replace(recipe, text=text, image=image, matcher=None)


def test_a_recipe_trains_over_it(over_bert, bert, corpus, ecgs, context, monkeypatch):
    reports = Reports(corpus, DESCRIPTIONS, over_bert, context)
    assert isinstance(reports.encoder, PretrainedTextEncoder)
    fast = np.array(["tachy" in text for text in corpus.texts])
    axis = reports.bank[:, corpus.codes.index("FAST")].numpy()
    assert axis[fast].min() > axis[~fast].max()
    trained = train(reports, ecgs, over_bert, context)
    embeddings = TorchEmbedder(trained, DistributedContext()).texts(corpus.texts)
    content = reports.bank_content.shape[1]  # what follows is fitted to the image encoder
    np.testing.assert_allclose(
        embeddings[:, :content], reports.bank.numpy()[:, :content], atol=1e-6
    )
    with monkeypatch.context() as patched:
        patched.setattr("cardex.training.stage.Trainer", None)
        again = Reports(corpus, DESCRIPTIONS, over_bert, context)
    torch.testing.assert_close(again.bank, reports.bank, atol=0, rtol=0)
    other = BertModel.from_pretrained(bert)
    torch.nn.init.zeros_(other.pooler.dense.weight)
    other.save_pretrained(bert)
    assert Reports(corpus, DESCRIPTIONS, over_bert, context).key != reports.key


@pytest.mark.parametrize("fused", ["matcher", "transport", "matching", "language"])
def test_what_reads_with_the_built_in_blocks_is_refused(fused, over_bert, corpus, context):
    if fused == "matcher":
        over_bert = msgspec.structs.replace(over_bert, matcher=MatcherRecipe())
    else:
        losses = msgspec.structs.replace(over_bert.image.losses, **{fused: 0.1})
        image = msgspec.structs.replace(over_bert.image, losses=losses)
        over_bert = msgspec.structs.replace(over_bert, image=image)
    with pytest.raises(CardexError, match=rf"text\.pretrained: .*{fused} would take the blocks"):
        Reports(corpus, DESCRIPTIONS, over_bert, context)
    assert not context.work.exists()
