import csv
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from cardex.domain.errors import CardexError, ConfigurationError
from cardex.signals.image_spec import ImageSpec
from cardex.training import checkpoint
from cardex.training.distributed import DistributedContext
from cardex.training.recipe import read_recipe
from cardex.training.trainer import Plan, Stopped, Trainer, batches

PLAN = Plan(epochs=4, batch=4, rate=0.1)
AVERAGED = msgspec.structs.replace(PLAN, average=0.5)


class Toy(torch.nn.Module):
    """Learns the mean of its samples; may be slow, or go wrong at a step."""

    def __init__(self, bad: int = -1, wait: float = 0.0) -> None:
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(1))
        self.drop = torch.nn.Dropout(0.5)
        self.bad, self.wait, self.steps = bad, wait, 0

    def forward(self, samples):
        self.steps += 1
        if self.wait:
            print("step", flush=True)
            time.sleep(self.wait)
        loss = (self.drop(self.mean.expand(len(samples))) - samples).square().mean()
        return {"fine": loss, "odd": loss * (torch.nan if self.steps - 1 == self.bad else 0.1)}


def prepare(batch):
    return (torch.from_numpy(batch.samples.astype(np.float32) + batch.random.random()),)


def trainer(folder, distributed=None, plan=PLAN, **more):
    return Trainer(
        "toy", plan, seed=5, distributed=distributed or DistributedContext(), folder=folder, **more
    )


def test_every_sample_is_seen_once_an_epoch_in_another_order():
    first, second = (batches(np.zeros(22), 4, 0, epoch) for epoch in (0, 1))
    assert first.shape == (5, 4)
    assert len(set(first.ravel())) == 20
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, batches(np.zeros(22), 4, 0, 0))


def test_samples_of_one_batch_are_alike_in_length():
    sizes = np.random.default_rng(0).integers(1, 60, 400).astype(float)
    found = batches(sizes, 8, 0, 0)
    assert np.ptp(sizes[found], axis=1).mean() < 3
    assert np.abs(np.diff(sizes[found].mean(axis=1))).mean() > 10  # batches come in no order


@pytest.mark.parametrize("plan", [PLAN, AVERAGED], ids=["last", "averaged"])
@pytest.mark.parametrize("after", [1, 3, 5, 7])
def test_stopped_anywhere_it_ends_alike(after, plan, tmp_path):
    whole, part = Toy(), Toy()
    trainer(tmp_path / "a", plan=plan).train(whole, prepare, 20)
    with pytest.raises(Stopped, match=rf"after step {after} of 20"):
        trainer(tmp_path / "b", plan=plan, stop_after=after).train(part, prepare, 20)
    again = Toy()
    trainer(tmp_path / "b", plan=plan).train(again, prepare, 20)
    assert torch.equal(whole.mean, again.mean)
    assert not torch.equal(whole.mean, torch.zeros(1))


def test_the_average_is_of_the_weights_after_each_step():
    passed = []
    averaged, last = Toy(), Toy()
    trainer(None).train(last, prepare, 20, lambda: passed.append(last.mean.item()))
    trainer(None, plan=AVERAGED).train(averaged, prepare, 20)
    expected = 0.0
    for step, weight in enumerate(passed):
        left = min(0.5, (1 + step) / (10 + step))
        expected = left * expected + (1 - left) * weight
    assert averaged.mean.item() == pytest.approx(expected, rel=1e-5)
    assert abs(expected - last.mean.item()) > 1e-3


def test_a_plan_without_an_average_is_kept_as_it_always_was():
    assert "average" not in msgspec.to_builtins(PLAN)
    assert b"average" not in msgspec.json.encode(PLAN)


def test_a_loss_that_is_not_finite_names_itself_and_the_checkpoint_that_stands(tmp_path):
    with pytest.raises(Stopped):
        trainer(tmp_path, stop_after=3).train(Toy(), prepare, 20)
    stands = (tmp_path / "toy.checkpoint").read_bytes()
    with pytest.raises(
        CardexError, match=r"toy, step 6: the loss odd is not finite.*toy\.checkpoint"
    ):
        trainer(tmp_path).train(Toy(bad=2), prepare, 20)
    assert (tmp_path / "toy.checkpoint").read_bytes() == stands
    trainer(tmp_path).train(Toy(), prepare, 20)


def test_a_signal_at_the_last_step_is_not_forgotten(tmp_path):
    def interrupt():
        if model.steps == 20:
            signal.raise_signal(signal.SIGTERM)

    model, before = Toy(), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match="after step 20 of 20"):
        trainer(tmp_path).train(model, prepare, 20, interrupt)
    assert signal.getsignal(signal.SIGTERM) is before
    again = Toy()
    trainer(tmp_path).train(again, prepare, 20)
    assert again.steps == 0
    assert torch.equal(again.mean, model.mean)


def test_the_rate_rises_evenly_and_falls_by_a_cosine(tmp_path, monkeypatch):
    monkeypatch.setattr("cardex.training.metric_logger.EVERY", 1)
    plan = Plan(epochs=10, batch=4, rate=0.1, warmup=0.1)
    Trainer("toy", plan, seed=0, distributed=DistributedContext(), folder=tmp_path).train(
        Toy(), prepare, 40
    )
    with (tmp_path / "toy.csv").open() as file:
        rates = np.array([float(row["rate"]) for row in csv.DictReader(file)])
    cosine = 0.05 + 0.05 * np.cos(np.pi * np.arange(100) / 100)
    np.testing.assert_allclose(rates[10:], cosine[10:], rtol=0.01)
    np.testing.assert_allclose(rates[:10], cosine[:10] * np.arange(1, 11) / 10, rtol=0.01)


def test_the_log_has_each_step_once_after_going_on(tmp_path, monkeypatch):
    monkeypatch.setattr("cardex.training.metric_logger.EVERY", 1)
    with pytest.raises(Stopped):
        trainer(tmp_path, stop_after=6).train(Toy(), prepare, 20)
    # rows beyond the checkpoint, as of a run that was killed
    with (tmp_path / "toy.csv").open("a") as file:
        file.write("9,1,0.1,5,5\n")
    trainer(tmp_path).train(Toy(), prepare, 20)
    with (tmp_path / "toy.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, 21))
    assert set(rows[0]) == {"step", "seconds", "rate", "fine", "odd"}


def test_a_checkpoint_that_is_damaged_or_of_another_training_is_refused(tmp_path):
    path = tmp_path / "toy.checkpoint"
    path.write_bytes(b"half a file")
    with pytest.raises(CardexError, match=r"toy\.checkpoint is damaged"):
        trainer(tmp_path).train(Toy(), prepare, 20)
    checkpoint.save(path, {"fingerprint": "another", "step": 1})
    with pytest.raises(CardexError, match=r"belongs to another recipe"):
        trainer(tmp_path).train(Toy(), prepare, 20)


def test_too_few_samples_and_a_missing_package_are_refused(tmp_path, monkeypatch):
    with pytest.raises(CardexError, match="3 samples are fewer than a batch of 4"):
        trainer(tmp_path).train(Toy(), prepare, 3)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(CardexError, match="pip install tensorboard"):
        trainer(tmp_path, tensorboard=True).train(Toy(), prepare, 20)


def test_bfloat16_trains_to_finite_weights(tmp_path):
    model = Toy()
    trainer(tmp_path, distributed=DistributedContext(bf16=True)).train(model, prepare, 20)
    assert torch.isfinite(model.mean).all()


PROGRAM = """
import sys, torch
from pathlib import Path
from cardex.training.distributed import DistributedContext
from tests.training.test_trainer import Toy, prepare, trainer
folder, wait = Path(sys.argv[1]), float(sys.argv[2])
torch.set_num_threads(1)
distributed = DistributedContext.here()
model = Toy(wait=wait)
model.drop.p = 0.0
trainer(folder, distributed).train(model, prepare, 20)
torch.save(model.mean.detach().clone(), folder / f"mean{distributed.rank}.pt")
distributed.leave()
"""


def start(folder: Path, wait: float, **environment: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder), str(wait)],
        env={"PYTHONPATH": "services:.", **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_sigterm_leaves_a_checkpoint_from_which_it_ends_alike(tmp_path):
    whole = start(tmp_path / "whole", 0.0)
    cut = start(tmp_path / "cut", 0.2)
    assert cut.stdout
    assert cut.stdout.readline() == "step\n"
    cut.send_signal(signal.SIGTERM)
    _, errors = cut.communicate(timeout=60)
    assert "the same command goes on from there" in errors
    assert (tmp_path / "cut" / "toy.checkpoint").is_file()
    again = start(tmp_path / "cut", 0.0)
    for program in (whole, again):
        program.communicate(timeout=60)
        assert program.returncode == 0
    means = [torch.load(tmp_path / name / "mean0.pt") for name in ("whole", "cut")]
    assert torch.equal(*means)


def test_what_stops_one_process_stops_all_at_one_step(tmp_path, free_port):
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port)}
    both = [start(tmp_path, 0.1, RANK=str(rank), **shared) for rank in range(2)]
    assert both[1].stdout
    assert both[1].stdout.readline() == "step\n"
    both[1].send_signal(signal.SIGTERM)
    said = [program.communicate(timeout=60)[1] for program in both]
    steps = [re.findall(r"stopped after step (\d+) of 20", errors) for errors in said]
    assert len(steps[0]) == 1, said
    assert steps[0] == steps[1]
    state = torch.load(tmp_path / "toy.checkpoint")
    assert state["step"] == int(steps[0][0])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[image]\nteacher = 3", "teacher"),
        ("[image]\npreset = 'huge'", "huge"),
        ("[image]\nplan = { epochs = 'many' }", "epochs"),
        ("[image_spec]\nlayout = 'round'", "round"),
        ("[image_spec]\ndtype = 'float32'", "uint8"),
        ("[second_image]\nimage_spec = { dtype = 'float32' }", r"second_image\..*uint8"),
        ("[second_image]\nimage_spec = { layout = 'round' }", r"second_image\..*round"),
        ("[matcher]\nplan = { epochs = 0 }", r"matcher\.plan\.epochs"),
        ("base = 5", "base 5"),
        ("base = 'recipe.toml'", "based on itself"),
        ("[text]\npretrained = 'x'\n[matcher]\n", "pretrained"),
        ("base = 'nowhere.toml'", "nowhere.toml"),
        ("= 3", "recipe.toml"),
    ],
)
def test_a_recipe_that_is_wrong_names_file_and_field(text, named, tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=named) as error:
        read_recipe(path)
    assert "recipe.toml" in error.value.message


def test_an_image_that_is_no_table_is_refused_over_a_base_too(tmp_path):
    (tmp_path / "base.toml").write_text("image_spec = { layout = 'raster' }")
    path = tmp_path / "recipe.toml"
    path.write_text("base = 'base.toml'\nimage_spec = 3")
    with pytest.raises(ConfigurationError, match="image_spec"):
        read_recipe(path)


def test_a_recipe_says_only_what_differs_from_its_base(root):
    experiments = root / "experiments"
    files = sorted(experiments.rglob("*.toml"))
    recipes = {file.stem: read_recipe(file) for file in files}
    assert len(recipes) > 25
    one, other = recipes["one"], recipes["no-mixup"]
    assert other.image.augmentation.mix == 0.0
    assert other.image.augmentation.warp == one.image.augmentation.warp
    assert other.text == one.text
    assert recipes["shipped"].matcher is not None


def test_an_image_that_names_its_layout_is_another_and_one_that_does_not_differs_in_a_part(root):
    folder = root / "experiments" / "encodings"
    grid, part, plot = (
        read_recipe(folder / f"{name}.toml").spec for name in ("all-grid-beat", "rp", "all-grid")
    )
    assert part == replace(grid, encodings=("black", "rp", "black"))
    assert plot == ImageSpec()
