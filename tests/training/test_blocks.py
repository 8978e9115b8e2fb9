import pytest
import torch
import torch.nn.functional as F

from cardex.training.blocks import ChannelDropout, attention


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_torchs(masked):
    query, key, value = (torch.randn(2, 3, 7, 4) for _ in range(3))
    mask = (torch.arange(7) < torch.tensor([[4], [7]]))[:, None, None] if masked else None
    torch.testing.assert_close(
        attention(query, key, value, mask),
        F.scaled_dot_product_attention(query, key, value, attn_mask=mask),
    )


def test_a_channel_is_left_out_of_all_tokens_and_the_mean_stays():
    drop = ChannelDropout(0.25).train()
    tokens = torch.ones(500, 3, 8)
    found = drop(tokens)
    torch.testing.assert_close(found.unique(), torch.tensor([0.0, 4 / 3]))
    torch.testing.assert_close(found, found[:, :1].expand(-1, 3, -1))
    assert float(found.mean()) == pytest.approx(1.0, abs=0.05)
    assert torch.equal(drop.eval()(tokens), tokens)
