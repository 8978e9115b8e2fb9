import os
import pickle
import subprocess
import sys

import msgspec
import pytest
import torch

from cardex.domain.errors import CardexError
from cardex.training.distributed import DistributedContext
from cardex.training.run import train
from cardex.training.stage import RunContext
from cardex.training.text_stage import Reports
from cardex.training.trainer import Plan, Trainer
from tests.training.conftest import DESCRIPTIONS

MODELS = ("text", "image", "matcher")
SHORT = Plan(epochs=2, batch=16)
PROGRAM = """
import pickle, sys, torch
from pathlib import Path
from cardex.training.distributed import DistributedContext
from cardex.training.run import train, train_calibration_model
from cardex.training.text_stage import Reports
from cardex.training.stage import RunContext
folder = Path(sys.argv[1])
torch.set_num_threads(1)
corpus, ecgs, recipe, descriptions = pickle.loads((folder / "task").read_bytes())
distributed = DistributedContext.here(bf16=False)
context = RunContext(folder / "work", distributed)
reports = Reports(corpus, descriptions, recipe, context)
trained = train(reports, ecgs, recipe, context)
states = {name: getattr(trained, name).state_dict() for name in ("text", "image", "matcher")}
states["reports"] = reports.encoder.state_dict()  # as trained, before margins are fitted
states["calibration"] = train_calibration_model(reports, ecgs, recipe, context)[0].state_dict()
torch.save(states, folder / f"{distributed.rank}.pt")
distributed.leave()
"""


@pytest.fixture
def short(recipe):
    image = msgspec.structs.replace(recipe.image, plan=SHORT, study=SHORT, teachers=1)
    return msgspec.structs.replace(recipe, image=image)


def test_two_processes_train_what_one_does(
    corpus, ecgs, short, reports, context, tmp_path, free_port
):
    """Two processes of `torchrun` on the CPU, by its environment: every stage, one set of files."""
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "task").write_bytes(pickle.dumps((corpus, ecgs, short, DESCRIPTIONS)))
    shared = os.environ | {
        "PYTHONPATH": "services:.", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port),
    }  # fmt: skip
    programs = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder)],
            env={**shared, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    for program in programs:
        _, errors = program.communicate(timeout=200)
        assert program.returncode == 0, errors
    first, second = (torch.load(folder / f"{rank}.pt") for rank in range(2))
    for model, state in first.items():
        for name, value in state.items():
            assert torch.equal(value, second[model][name]), f"{model}: {name}"
    # the mean of two halves' gradients is the whole batch's, so both go one way
    alone = reports.encoder.state_dict()
    for name, value in first["reports"].items():
        torch.testing.assert_close(value, alone[name], atol=2e-3, rtol=1e-2)
    assert {path.suffix for path in (folder / "work").iterdir()} == {".pt", ".csv"}


def test_a_batch_that_processes_cannot_share_is_refused():
    trainer = Trainer(
        "x", Plan(epochs=1, batch=16), seed=0, distributed=DistributedContext(world=3)
    )
    with pytest.raises(CardexError, match="batch of 16 cannot be shared equally by 3 processes"):
        trainer.train(torch.nn.Linear(1, 1), lambda batch: (), 100)


def test_a_batch_is_shared_without_rest():
    shares = [DistributedContext(rank=rank, world=4).share(16) for rank in range(4)]
    assert [i for share in shares for i in range(16)[share]] == list(range(16))


@pytest.mark.parametrize("weights", [{}, {"soft": 0.4, "reverse": 0.02, "transport": 0.1}])
def test_bfloat16_trains_every_stage_to_finite_weights(weights, corpus, ecgs, short, tmp_path):
    losses = msgspec.structs.replace(short.image.losses, words=0.3, **weights)
    image = msgspec.structs.replace(short.image, losses=losses)
    text = msgspec.structs.replace(short.text, plan=SHORT)
    short = msgspec.structs.replace(short, image=image, text=text)
    context = RunContext(tmp_path, DistributedContext(bf16=True))
    trained = train(Reports(corpus, DESCRIPTIONS, short, context), ecgs, short, context)
    for model in MODELS:
        for name, value in getattr(trained, model).state_dict().items():
            assert torch.isfinite(value).all(), f"{model}: {name}"
