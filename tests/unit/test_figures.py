"""The pages state the figures that were measured, and these are of the models that are shipped."""

import json

import pytest

from cardex.evaluation.pages import written
from cardex.inference.repository import newest
from tools.write_figures import FIGURES, PAGES, blocks


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_is_what_the_command_writes(page):
    text = page.read_text()
    assert "<!-- figures:" in text
    assert written(text, blocks()) == text, "run tools/write_figures.py"


def test_the_figures_are_of_the_models_that_are_shipped(root):
    measured = json.loads(FIGURES.read_bytes())["model_version"]
    assert measured == newest(root / "model_repository").version(), "run `make figures`"
