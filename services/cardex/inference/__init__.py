"""The Triton client and the tokenizer, behind a small Encoder protocol."""
