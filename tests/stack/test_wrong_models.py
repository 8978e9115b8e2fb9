"""A worker does not start on models that are not what it sends to and reads from."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from cardex.inference.repository import IMAGE_ENCODER, TEXT_ENCODER
from loadtest.triton_server import instances
from tests.helpers.real import ROOT
from tests.helpers.stack import running_triton


def quick(text: str) -> str:
    """Let a model load faster: one instance, and no warm-up, which would end a wrong one."""
    return re.sub(r"^model_warmup \{.*?^\}\n", "", instances(1)(text), flags=re.M | re.S)


WRONG = {
    "type": (
        IMAGE_ENCODER,
        lambda text: text.replace('"image" data_type: TYPE_UINT8', '"image" data_type: TYPE_INT8'),
        r"ecg_image_encoder takes image TYPE_INT8 .*, this Cardex image TYPE_UINT8",
    ),
    "shape": (
        IMAGE_ENCODER,
        lambda text: text.replace("dims: [ 12, 1000, 1 ]", "dims: [ 12, 500, 1 ]"),
        r"ecg_image_encoder takes image TYPE_UINT8 \[12, 500, 1\], .* \[12, 1000, 1\]",
    ),
    "version": (
        TEXT_ENCODER,
        lambda text: re.sub(r'("1.model_version" .*?string_value: )"[^"]+"', r'\1"cardex-x"', text),
        r"ecg_image_encoder cardex-\w+ beside report_text_encoder cardex-x",
    ),
    "tokenizer": (
        TEXT_ENCODER,
        lambda text: re.sub(
            r'("1.tokenizer_sha256" .*?string_value: ")\w{8}', r"\g<1>00000000", text
        ),
        r"trained with tokenizer 00000000\w+, .*tokenizer.json is",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_worker_does_not_start_and_names_both_sides(tmp_path, wrong):
    model, edit, message = WRONG[wrong]
    repository = tmp_path / "models"
    shutil.copytree(ROOT / "model_repository", repository, symlinks=True)
    for config in repository.glob("*/configs/cpu.pbtxt"):
        config.write_text(quick(config.read_text()))
    config = repository / model / "configs" / "cpu.pbtxt"
    before = config.read_text()
    assert edit(before) != before
    config.write_text(edit(before))
    with running_triton(tmp_path / "triton", repository) as (_, address):
        done = subprocess.run(
            [sys.executable, "-m", "cardex", "worker", "--queue", "stat"],
            env={
                **os.environ,
                "CARDEX_TRITON_URL": address,
                "CARDEX_MODEL_REPOSITORY": str(ROOT / "model_repository"),
            },
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert re.search(message, " ".join(done.stderr.split())), done.stderr
