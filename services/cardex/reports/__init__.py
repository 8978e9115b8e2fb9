"""Report text: where it comes from, its language, its wording, its coded statements."""
