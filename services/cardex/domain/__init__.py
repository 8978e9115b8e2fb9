"""The words that all rooms share: types, errors and settings. No I/O."""
