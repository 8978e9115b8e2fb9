from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cardex.domain.settings import Settings
from cardex.inference.repository import IMAGE_ENCODER, TEXT_ENCODER, ModelVersion, newest
from cardex.signals.image_spec import ImageSpec
from tests.helpers.ecgs import DICOM


def picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def test_an_image_is_written_as_the_model_sees_it(cardex, tmp_path):
    result = cardex("encode", DICOM, "-o", tmp_path / "ecg.png")
    assert result.exit_code == 0
    height, width, _ = newest(Settings().model_repository).spec().shape
    assert picture(tmp_path / "ecg.png").size == (width, height)


def test_an_image_of_what_is_no_ecg_is_refused(cardex, tmp_path):
    (tmp_path / "note.txt").write_text("no ECG")
    result = cardex("encode", tmp_path / "note.txt", "-o", tmp_path / "ecg.png")
    assert result.exit_code == 1
    assert "(NOT_AN_ECG)" in result.output


@pytest.mark.parametrize(
    ("options", "done"),
    [
        ((), "high-pass 0.5 Hz"),
        (("--raw",), "as recorded"),
        (("--filtered",), "band-pass 0.5-40 Hz"),
        (("--no-header",), "high-pass 0.5 Hz"),
    ],
)
def test_an_ecg_is_plotted_as_svg(cardex, tmp_path, options, done):
    result = cardex("plot", DICOM, "-o", tmp_path / "ecg.svg", *options)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "ecg.svg").read_text()
    assert 'width="297mm"' in page
    assert "1000 Hz" in page
    assert done in page


def test_an_ecg_is_plotted_as_png(cardex, tmp_path):
    arguments = ("--dpi", 75, "--layout", "12x1", "--speed", 50, "--gain", 5, "--start", 2)
    result = cardex("plot", DICOM, "-o", tmp_path / "ecg.PNG", *arguments)
    assert result.exit_code == 0, result.output
    image = picture(tmp_path / "ecg.PNG")
    assert image.size == (877, 620)
    assert image.info["dpi"] == pytest.approx((75, 75), abs=0.02)


@pytest.mark.parametrize(
    ("out", "options", "told"),
    [
        ("ecg.pdf", (), ".png or .svg"),
        ("ecg", (), ".png or .svg"),
        ("none/ecg.svg", (), "cannot write"),
        ("ecg.png", ("--dpi", 5), "50 to 600"),
        ("ecg.svg", ("--speed", 30), "25, 50"),
        ("ecg.svg", ("--gain", 1), "5, 10, 20"),
        ("ecg.svg", ("--layout", "4x3"), "3x4+1, 3x4+3, 6x2, 12x1"),
        ("ecg.svg", ("--start", 99), "the record has 10 s"),
    ],
)
def test_a_plot_that_cannot_be_is_refused_with_the_remedy(cardex, tmp_path, out, options, told):
    result = cardex("plot", DICOM, "-o", tmp_path / out, *options)
    assert result.exit_code == 1
    assert "(INVALID_QUESTION)" in result.output
    assert told in result.output.replace("\n", " ")
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("strip", "strip"),
        ("x" * 300, "no image specification"),
        ("[1]", "no image specification"),
        ('["layout"]', "no image specification"),
        ('{"tile": 1e9}', "tile"),
        ('{"a":' * 20_000, "no image specification"),
        ('{"filter": {"band_hz": [NaN, 40]}}', "band_hz"),
        ('{"filter": {"notch_hz": 1e200}}', "notch_hz"),
    ],
)
def test_an_image_that_cannot_be_is_refused_by_name(cardex, tmp_path, spec, named):
    result = cardex("encode", DICOM, "-o", tmp_path / "ecg.png", "--spec", spec)
    assert result.exit_code == 1
    assert "(INVALID_QUESTION)" in result.output
    assert named in result.output.replace("\n", " ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", ["all-grid", "all-concat", "simple-plot", "raster"])
def test_every_layout_is_drawn(cardex, tmp_path, layout):
    result = cardex("encode", DICOM, "-o", tmp_path / "ecg.png", "--spec", layout, "--zoom", 2)
    assert result.exit_code == 0, result.output
    height, width, channels = ImageSpec(layout=layout).shape
    image = picture(tmp_path / "ecg.png")
    assert image.size == (2 * width, 2 * height)
    assert image.mode == ("L" if channels == 1 else "RGB")


def test_marks_of_the_amplitude_are_the_last_column_of_the_picture(cardex, tmp_path):
    spec = '{"layout": "raster", "scaling": "deviation", "amplitude": true}'
    result = cardex("encode", DICOM, "-o", tmp_path / "ecg.png", "--spec", spec)
    assert result.exit_code == 0, result.output
    image = picture(tmp_path / "ecg.png")
    assert image.size == (1000, 12) and image.mode == "L"
    assert np.asarray(image)[:, -1].min() > 0


def test_a_repository_without_a_model_card_is_named(cardex, tmp_path, monkeypatch):
    monkeypatch.setenv("CARDEX_MODEL_REPOSITORY", str(tmp_path))
    for model in (IMAGE_ENCODER, TEXT_ENCODER):
        graph = ModelVersion(tmp_path, 1).graph(model)
        graph.parent.mkdir(parents=True)
        graph.touch()
    result = cardex("encode", DICOM, "-o", tmp_path / "ecg.png")
    assert result.exit_code == 1
    assert "(CONFIGURATION)" in result.output
    assert "ecg_image_encoder/1/model_card.json" in result.output.replace("\n", "")


def test_a_repository_without_a_model_is_named(cardex, tmp_path, monkeypatch):
    monkeypatch.setenv("CARDEX_MODEL_REPOSITORY", str(tmp_path))
    result = cardex("encode", DICOM, "-o", tmp_path / "ecg.png")
    assert result.exit_code == 1
    assert "(CONFIGURATION)" in result.output
    assert f"{tmp_path} holds no version" in result.output.replace("\n", "")


def test_a_specification_comes_from_a_file_too(cardex, tmp_path):
    (tmp_path / "spec.json").write_text('{"encodings": ["gadf", "rp"], "tile": 32}', "utf-8-sig")
    arguments = ("-o", tmp_path / "ecg.png", "--spec", tmp_path / "spec.json")
    assert cardex("encode", DICOM, *arguments).exit_code == 0
    assert picture(tmp_path / "ecg.png").size == (128, 96)


def test_a_picture_of_billions_of_pixels_is_refused(cardex, tmp_path):
    arguments = ("-o", tmp_path / "ecg.png", "--zoom", 16, "--spec", '{"tile": 341}')
    result = cardex("encode", DICOM, *arguments)
    assert result.exit_code == 1
    assert "zoom 16" in result.output


def test_a_folder_of_many_recordings_is_no_one_recording(cardex, tmp_path):
    for name in ("a.dcm", "b.dcm"):
        (tmp_path / name).write_bytes(DICOM.read_bytes())
    result = cardex("plot", tmp_path, "-o", tmp_path / "ecg.svg")
    assert result.exit_code == 1
    assert "holds 2 recordings" in result.output.replace("\n", " ")


@pytest.mark.parametrize("path", ["/dev/zero", "x" * 300, "none.hea", "none/none.dcm"])
def test_a_path_that_is_no_file_is_one_message(cardex, tmp_path, path):
    result = cardex("plot", path, "-o", tmp_path / "ecg.svg")
    assert result.exit_code == 1
    assert "error" in result.output and "Traceback" not in result.output


def test_a_plot_of_what_is_no_ecg_is_refused(cardex, tmp_path):
    (tmp_path / "note.txt").write_text("no ECG")
    for path, reason in (("note.txt", "NOT_AN_ECG"), ("missing.dcm", "INVALID_ECG")):
        result = cardex("plot", tmp_path / path, "-o", tmp_path / "ecg.png")
        assert result.exit_code == 1
        assert f"({reason})" in result.output


def test_a_plot_is_raw_or_filtered(cardex, tmp_path):
    result = cardex("plot", DICOM, "-o", tmp_path / "ecg.svg", "--raw", "--filtered")
    assert result.exit_code == 2
