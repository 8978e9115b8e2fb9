import numpy as np
import torch

from cardex.training.image_encoder import ImageEncoder, Vit
from cardex.training.matcher import Matcher
from cardex.training.text_encoder import TextEncoder
from tests.training.conftest import RASTER, SMALL

CODES = 5


def encoder_of(length: int) -> TextEncoder:
    return TextEncoder(SMALL, vocabulary=50, length=length, statements=CODES).eval()


def test_a_new_matcher_reads_as_the_report_encoder_does_and_then_sees_the_image():
    image = ImageEncoder([Vit(SMALL, RASTER, 0, CODES)], torch.zeros(CODES)).eval()
    text = encoder_of(16)
    matcher = Matcher(image, text).eval()
    ids = torch.randint(5, 50, (2, 3, 16), dtype=torch.int32)
    pixels = torch.randint(0, 256, (2, *RASTER.shape), dtype=torch.uint8)
    seen = matcher.bridge(image.tokens(pixels))
    torch.testing.assert_close(matcher.fuse(seen, ids[:, 0]), matcher.norm(text.tokens(ids[:, 0])))
    for block in matcher.blocks:
        torch.nn.init.normal_(block.out.weight)
    scores = matcher(pixels, ids)
    assert scores.shape == (2, 3)
    torch.testing.assert_close(scores[1, 2:], matcher.score(seen[1:], ids[1, 2:]))
    assert not torch.allclose(matcher(pixels.flip(0), ids), scores)


def test_padding_does_not_change_a_report():
    encoder = encoder_of(16)
    torch.nn.init.normal_(encoder.pieces.weight)
    torch.nn.init.normal_(encoder.pairs.weight)
    ids = torch.zeros((1, 16), dtype=torch.int32)
    ids[0, :5] = torch.tensor([2, 10, 11, 12, 3])
    with torch.no_grad():
        plain = encoder(ids)
        torch.testing.assert_close(encoder(ids[:, :5]), plain)
        encoder.embed.weight[0] += 1.0
        torch.testing.assert_close(encoder(ids), plain)


def test_the_order_of_words_matters():
    encoder = encoder_of(8)
    first = torch.tensor([[2, 10, 11, 3, 0, 0, 0, 0]], dtype=torch.int32)
    second = torch.tensor([[2, 11, 10, 3, 0, 0, 0, 0]], dtype=torch.int32)
    assert np.abs((encoder(first) - encoder(second)).detach().numpy()).max() > 1e-6


def test_pieces_and_their_pairs_add_to_the_wording():
    encoder = encoder_of(8)
    ids = torch.tensor([[2, 10, 11, 12, 3, 0, 0, 0]], dtype=torch.int32)
    _, before, _ = encoder.read(ids)
    with torch.no_grad():
        encoder.pairs.weight[(10 * 7919 + 11 * 104729) % len(encoder.pairs.weight)] += 1.0
    _, after, _ = encoder.read(ids)
    assert not torch.allclose(before, after)
    _, other, _ = encoder.read(torch.tensor([[2, 11, 10, 12, 3, 0, 0, 0]], dtype=torch.int32))
    with torch.no_grad():
        encoder.pairs.weight.zero_()
    _, plain, _ = encoder.read(torch.tensor([[2, 11, 10, 12, 3, 0, 0, 0]], dtype=torch.int32))
    torch.testing.assert_close(other, plain)  # the pair in the other order is another pair


def test_a_name_is_scored_by_plain_log_odds_and_a_report_by_what_sets_it_apart():
    encoder = encoder_of(8)
    with torch.no_grad():
        encoder.usual.copy_(torch.tensor([-3.0, 0.0, 0.0, 0.0, 0.0]))
    log_odds = torch.tensor([[20.0, -20.0, -20.0, -20.0, -20.0]])
    wording = torch.nn.functional.normalize(torch.ones(1, SMALL.embedding - CODES - 4), dim=-1)
    name, report = (
        encoder.join(log_odds, wording, torch.tensor([whole])) for whole in (-20.0, 20.0)
    )
    whole, bias = slice(-4, -3), slice(-3, -2)
    assert float(name[0, whole]) < 1e-6 < float(report[0, whole])
    assert float(name[0, bias]) < 0.0 == float(report[0, bias])
