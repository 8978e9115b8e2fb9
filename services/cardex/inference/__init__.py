"""The Triton client and the tokenizer, behind the Encoder protocol."""
