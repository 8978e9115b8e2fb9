import msgspec
import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from services.domain.ecg import LEADS, Waveform
from services.signals.cleaning import centre_window, clean
from services.signals.encodings import gasf, markov_transition_field, paa, recurrence
from services.signals.images import ImageSpec, draw, image_of, window_of
from tests.unit.ecgs import ecg

SPEC = ImageSpec()
BACKGROUND = 0, 255  # RP and MTF of a lead without signal


def window() -> np.ndarray:
    return ecg(rate=SPEC.rate, seconds=SPEC.window_s)


def tile_of(image: np.ndarray, lead: int, spec: ImageSpec = SPEC) -> np.ndarray:
    row, column = divmod(lead, spec.columns)
    side = spec.tile
    return image[row * side : (row + 1) * side, column * side : (column + 1) * side]


@pytest.fixture
def served_spec(root) -> str:
    config = ModelConfig()
    path = root / "model_repository" / "ecg_image_encoder" / "configs" / "cpu.pbtxt"
    text_format.Parse(path.read_text(), config)
    return config.parameters["image_spec"].string_value


def test_the_served_model_takes_the_default_image(served_spec):
    assert ImageSpec.from_json(served_spec) == ImageSpec()
    assert ImageSpec.from_json(served_spec).id == ImageSpec().id


def test_the_id_is_the_same_in_every_process_and_release():
    spec = ImageSpec("all-grid", rate=100.0, window_s=10.0, tile=64, columns=4, bins=8)
    assert spec.id == "all-grid-5a06f725d4c7"


def test_the_id_names_the_layout():
    assert ImageSpec().id.startswith("all-grid-")


@pytest.mark.parametrize(
    "other",
    [
        ImageSpec(rate=200.0),
        ImageSpec(window_s=5.0),
        ImageSpec(tile=128),
        ImageSpec(columns=3),
        ImageSpec(bins=16),
    ],
)
def test_every_field_is_part_of_the_id(other):
    assert other.id != ImageSpec().id


@pytest.mark.parametrize("spec", [ImageSpec(), ImageSpec(rate=250.0, tile=128, columns=6, bins=5)])
def test_a_specification_survives_its_json(spec):
    assert ImageSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"layout":"all-grid","rate":100.0,"window_s":10.0,"tile":64,"columns":4}',
        '{"layout":"all-grid","rate":100.0,"window_s":10.0,"tyle":128,"columns":4,"bins":8}',
        '{"layout":"all-grid","rate":100.0,"window_s":10.0,"tile":"big","columns":4,"bins":8}',
        '{"layout":"strip","rate":100.0,"window_s":10.0,"tile":64,"columns":4,"bins":8}',
    ],
    ids=["empty", "a field missing", "an unknown field", "another type", "an unknown layout"],
)
def test_a_specification_that_is_not_whole_is_refused(text):
    with pytest.raises(msgspec.ValidationError):
        ImageSpec.from_json(text)


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5, 6, 12])
def test_an_image_has_the_shape_that_its_specification_says(columns):
    spec = ImageSpec(tile=16, columns=columns)
    assert draw(window()[None], spec)[0].shape == spec.shape


def test_an_image_is_bytes_in_one_piece():
    images = draw(np.stack([window()] * 2), SPEC)
    assert images.dtype == np.uint8
    assert images.shape == (2, 192, 256, 3)
    assert images.flags.c_contiguous


@pytest.mark.parametrize("lead", range(12), ids=LEADS)
def test_a_lead_is_drawn_in_its_own_tile_only(lead):
    only = np.zeros((12, SPEC.window), dtype=np.float32)
    only[lead] = window()[1]
    image = draw(only[None], SPEC)[0]
    drawn = [n for n in range(12) if np.ptp(tile_of(image, n)[..., 0]) > 0]
    assert drawn == [lead]


def test_the_leads_stand_in_reading_order():
    # I II III aVR / aVL aVF V1 V2 / V3 V4 V5 V6, each told by its own encoding
    signal = window() * np.linspace(0.5, 2.0, 12, dtype=np.float32)[:, None]
    signal += np.linspace(0, 1, SPEC.window, dtype=np.float32) * np.arange(12)[:, None]
    image = draw(signal.astype(np.float32)[None], SPEC)[0]
    for lead in range(12):
        expected = gasf(paa(signal[lead].astype(np.float32), SPEC.tile)) * 127.5 + 127.5
        np.testing.assert_allclose(tile_of(image, lead)[..., 0], expected, atol=0.51)


def test_the_channels_are_gasf_recurrence_and_mtf():
    signal = window()
    reduced = paa(signal[1], SPEC.tile)
    tile = tile_of(draw(signal[None], SPEC)[0], 1).astype(float)
    np.testing.assert_allclose(tile[..., 0], gasf(reduced) * 127.5 + 127.5, atol=0.51)
    np.testing.assert_allclose(tile[..., 1], recurrence(reduced) / np.ptp(reduced) * 255, atol=0.51)
    field = markov_transition_field(signal[1], SPEC.tile, SPEC.bins)
    np.testing.assert_allclose(tile[..., 2], field * 255, atol=0.51)


def test_a_lead_without_signal_is_drawn_evenly():
    signal = window()
    signal[6] = 0.0
    tile = tile_of(draw(signal[None], SPEC)[0], 6)
    assert np.ptp(tile.reshape(-1, 3), axis=0).tolist() == [0, 0, 0]
    assert tuple(tile[0, 0, 1:]) == BACKGROUND


def test_the_image_does_not_depend_on_gain_or_offset_of_a_lead():
    # what z-scored training records rely on; one grey level of rounding is left
    signal = window()
    other = signal * 3.0 + 0.25
    difference = draw(signal[None], SPEC).astype(int) - draw(other[None], SPEC).astype(int)
    changed = np.abs(difference) > 1
    assert changed.mean() < 1e-3


def test_a_batch_gives_what_each_window_gives_alone():
    windows = np.stack([ecg(rate=100.0, seed=seed, bpm=60 + 10 * seed) for seed in range(3)])
    alone = np.concatenate([draw(one[None], SPEC) for one in windows])
    assert np.abs(draw(windows, SPEC).astype(int) - alone.astype(int)).max() <= 1


def test_a_waveform_is_cleaned_and_its_middle_drawn():
    waveform = Waveform(ecg(rate=500.0, seconds=20.0), 500.0)
    middle = centre_window(clean(waveform, 100.0), 1000)
    np.testing.assert_array_equal(window_of(waveform, SPEC), middle)
    np.testing.assert_array_equal(image_of(waveform, SPEC), draw(middle[None], SPEC)[0])


def test_the_same_ecg_gives_the_same_image():
    waveform = Waveform(ecg(), 500.0)
    np.testing.assert_array_equal(image_of(waveform, SPEC), image_of(waveform, SPEC))
