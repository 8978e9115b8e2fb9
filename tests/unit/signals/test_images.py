from dataclasses import replace

import numpy as np
import pytest

from cardex.domain.ecg import LEADS, Waveform
from cardex.signals.beats import find_beats, median_beat
from cardex.signals.cleaning import Filter, clean
from cardex.signals.encodings import gasf, markov_transition_field, paa, recurrence, rescale
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import beats_of, draw, image_of, window_of
from cardex.signals.windows import best_window
from tests.helpers.ecgs import ecg

SPEC = ImageSpec()
BACKGROUND = 0, 255  # RP and MTF of a lead without signal


def window() -> np.ndarray:
    return ecg(rate=SPEC.rate, seconds=SPEC.window_s)


def tile_of(image: np.ndarray, lead: int, spec: ImageSpec = SPEC) -> np.ndarray:
    row, column = divmod(lead, spec.columns)
    side = spec.tile
    return image[row * side : (row + 1) * side, column * side : (column + 1) * side]


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
        expected = gasf(rescale(paa(signal[lead].astype(np.float32), SPEC.tile))) * 127.5 + 127.5
        np.testing.assert_allclose(tile_of(image, lead)[..., 0], expected, atol=0.51)


def test_the_channels_are_gasf_recurrence_and_mtf():
    signal = window()
    reduced = paa(signal[1], SPEC.tile)
    tile = tile_of(draw(signal[None], SPEC)[0], 1).astype(float)
    np.testing.assert_allclose(tile[..., 0], gasf(rescale(reduced)) * 127.5 + 127.5, atol=0.51)
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
    other = signal * np.float32(3.0) + np.float32(0.25)
    difference = draw(signal[None], SPEC).astype(int) - draw(other[None], SPEC).astype(int)
    changed = np.abs(difference) > 1
    assert changed.mean() < 1e-3


def test_a_batch_gives_what_each_window_gives_alone():
    windows = np.stack([ecg(rate=100.0, seed=seed, bpm=60 + 10 * seed) for seed in range(3)])
    alone = np.concatenate([draw(one[None], SPEC) for one in windows])
    assert np.abs(draw(windows, SPEC).astype(int) - alone.astype(int)).max() <= 1


def test_a_waveform_is_cleaned_and_its_best_window_drawn():
    waveform = Waveform(ecg(rate=500.0, seconds=20.0), 500.0)
    cleaned = clean(waveform, 100.0)
    best = best_window(cleaned, 1000, 100.0)
    np.testing.assert_array_equal(window_of(cleaned, SPEC), best)
    np.testing.assert_array_equal(image_of(waveform, SPEC), draw(best[None], SPEC)[0])


def test_the_same_ecg_gives_the_same_image():
    waveform = Waveform(ecg(), 500.0)
    np.testing.assert_array_equal(image_of(waveform, SPEC), image_of(waveform, SPEC))


# Every tile against pyts. A GAF loses digits in float32 where a sample is next to +-1 (1 - x * x).

TOLERANCE = {"gasf": 8e-4, "gadf": 8e-4, "rp": 1e-6, "mtf": 1e-6}


def by_pyts(pyts_image, window: np.ndarray, spec: ImageSpec, encoding: str):
    """All leads of a window by pyts: (12, tile, tile)."""
    window = window.astype(np.float64)
    if encoding == "mtf":
        field = pyts_image.MarkovTransitionField(spec.tile, n_bins=spec.bins, strategy="quantile")
        return field.fit_transform(window)
    if encoding == "rp":
        scaled = rescale(paa(window.astype(np.float32), spec.points)).astype(np.float64)
        plot = pyts_image.RecurrencePlot(spec.dimension, spec.delay)
        return plot.fit_transform(scaled) / (2 * spec.dimension**0.5)
    method = {"gasf": "summation", "gadf": "difference"}[encoding]
    return pyts_image.GramianAngularField(spec.tile, method=method).fit_transform(window)


@pytest.mark.parametrize("tile", [64, 128])
@pytest.mark.parametrize("encodings", [("gasf", "rp", "mtf"), ("gadf",)])
def test_every_tile_equals_pyts(pyts_image, ptbxl, tile, encodings):
    spec = ImageSpec(tile=tile, encodings=encodings, dtype="float32")
    windows = np.stack([window_of(clean(w, 100.0), spec) for w in ptbxl("records100", 3)])
    batch = draw(windows, spec)
    single = draw(windows[2:], spec)[0]
    np.testing.assert_array_equal(batch[2], single)
    for channel, encoding in enumerate(encodings):
        expected = by_pyts(pyts_image, windows[2], spec, encoding)
        for lead in range(12):
            found = tile_of(single, lead, spec)[..., channel]
            np.testing.assert_allclose(found, expected[lead], rtol=0, atol=TOLERANCE[encoding])


def test_trajectories_fill_their_tiles(pyts_image):
    spec = ImageSpec(encodings=("rp",), dimension=3, delay=4, dtype="float32")
    expected = by_pyts(pyts_image, window(), spec, "rp")
    found = draw(window()[None], spec)[0]
    for lead in range(12):
        np.testing.assert_allclose(tile_of(found, lead, spec)[..., 0], expected[lead], atol=1e-5)


def test_bytes_are_the_values_rounded_to_the_nearest_level():
    pixels = draw(window()[None], SPEC)[0].astype(float)
    values = draw(window()[None], ImageSpec(dtype="float32"))[0]
    np.testing.assert_allclose(pixels[..., 0], values[..., 0] * 127.5 + 127.5, atol=0.51)
    np.testing.assert_allclose(pixels[..., 1:], values[..., 1:] * 255.0, atol=0.51)


def test_joined_leads_are_encoded_as_one_series():
    spec = ImageSpec(layout="all-concat", tile=128, encodings=("gasf", "mtf"), dtype="float32")
    found = draw(window()[None], spec)[0]
    joined = window().reshape(-1)
    assert found.shape == spec.shape == (128, 128, 2)
    np.testing.assert_allclose(found[..., 0], gasf(rescale(paa(joined, 128))), atol=1e-6)
    np.testing.assert_allclose(found[..., 1], markov_transition_field(joined, 128, 8), atol=1e-6)


def test_a_plot_is_a_connected_curve_through_the_samples():
    spec = ImageSpec(layout="simple-plot", tile=64, columns=3)
    image = draw(window()[None], spec)[0]
    assert image.shape == spec.shape == (256, 192, 1)
    assert set(np.unique(image)) == {0, 255}
    for lead in range(12):
        tile = tile_of(image, lead, spec)[..., 0] > 0
        assert tile.any(axis=0).all()
        assert tile[0].any() and tile[-1].any()  # its own extremes fill the height
        for left, right in zip(tile.T[:-1], tile.T[1:], strict=True):
            low, high = np.flatnonzero(left)[[0, -1]]
            assert right[max(0, low - 1) : high + 2].any()


def test_a_plot_shows_an_upward_wave_above_the_line():
    spec = ImageSpec(layout="simple-plot", tile=32, scaling="millivolt", full_scale_mv=1.0)
    signal = np.zeros((12, 1000), dtype=np.float32)
    signal[0, 500] = 1.0
    tile = tile_of(draw(signal[None], spec)[0], 0, spec)[..., 0]
    assert tile[0].any() and not tile[-1].any()


def test_a_raster_is_the_samples_themselves():
    spec = ImageSpec(layout="raster", scaling="millivolt", full_scale_mv=2.0, dtype="float32")
    signal = window()
    found = draw(signal[None], spec)[0]
    assert found.shape == spec.shape == (12, 1000, 1)
    np.testing.assert_allclose(found[..., 0], signal / 2.0, atol=1e-6)


def test_a_fixed_scale_keeps_amplitudes_and_clips_beyond():
    spec = ImageSpec(layout="raster", scaling="millivolt", full_scale_mv=1.0)
    signal = np.zeros((12, 1000), dtype=np.float32)
    signal[0], signal[1], signal[2] = 0.5, 5.0, -5.0
    found = draw(signal[None], spec)[0, :4, 0, 0].tolist()
    assert found == [191, 255, 0, 128]


AMPLITUDE = ImageSpec(layout="raster", scaling="deviation", amplitude=True, full_scale_mv=2.0)


def test_the_last_column_has_the_mark_of_each_leads_deviation():
    signal = window()
    signal /= signal.std(axis=-1, keepdims=True)
    signal *= np.geomspace(0.01, 10.0, 12, dtype=np.float32)[:, None]
    images = draw(signal[None], AMPLITUDE)
    assert images.shape == (1, *AMPLITUDE.shape) == (1, 12, 1000, 1)
    assert images[0, :, -1, 0].tolist() == np.rint(np.linspace(1, 255, 12)).tolist()
    shape = draw(signal[None], replace(AMPLITUDE, amplitude=False))
    np.testing.assert_array_equal(images[:, :, :-1], shape[:, :, :-1])
    values = draw(signal[None], replace(AMPLITUDE, dtype="float32"))[0, :, -1, 0]
    np.testing.assert_allclose(values, images[0, :, -1, 0] / 127.5 - 1.0, atol=1e-6)


def test_deviations_beyond_the_marks_are_the_first_and_the_last_one():
    signal = window()
    signal[0], signal[1] = 0.0, 100.0 * signal[1] / signal[1].std()
    assert draw(signal[None], AMPLITUDE)[0, :2, -1, 0].tolist() == [1, 255]


@pytest.mark.parametrize(("dtype", "unknown"), [("uint8", 0), ("float32", -1.0)])
def test_an_unknown_amplitude_has_a_mark_of_its_own(dtype, unknown):
    spec = replace(AMPLITUDE, dtype=dtype)
    windows = np.stack([window()] * 3)
    all_known = draw(windows, spec)
    images = draw(windows, spec, calibrated=np.array([True, False, True]))
    np.testing.assert_array_equal(images[[0, 2]], all_known[[0, 2]])
    np.testing.assert_array_equal(images[1, :, :-1], all_known[1, :, :-1])
    assert (images[1, :, -1] == unknown).all()
    assert (all_known[:, :, -1] > unknown).all()


def test_the_scale_of_deviations_is_not_squeezed_by_a_spike():
    spec = ImageSpec(layout="raster", scaling="deviation", dtype="float32")
    signal = window()
    plain = draw(signal[None], spec)[0, 1, :, 0]
    np.testing.assert_allclose(plain.std(), 1 / 8, rtol=1e-4)
    signal[1, 500] = 30.0
    spiked = draw(signal[None], spec)[0, 1, :, 0]
    assert np.ptp(spiked[:400]) > 0.15 * np.ptp(plain[:400])
    assert spiked.max() == 1.0
    assert not draw(np.zeros((1, 12, 1000), dtype=np.float32), spec).any()


def test_the_records_scale_keeps_the_leads_in_proportion():
    spec = ImageSpec(layout="raster", scaling="record", dtype="float32")
    signal = window()
    found = draw(signal[None], spec)[0, ..., 0]
    spans = np.ptp(signal, axis=1)
    np.testing.assert_allclose(np.ptp(found, axis=1), 2.0 * spans / np.ptp(signal), rtol=1e-4)


@pytest.mark.parametrize("layout", ["all-grid", "all-concat", "simple-plot", "raster"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_every_layout_draws_what_its_specification_says(layout, dtype):
    spec = ImageSpec(layout=layout, dtype=dtype, tile=32, encodings=("gadf", "mtf"))
    images = draw(np.stack([window(), -window()]), spec)
    assert images.shape == (2, *spec.shape)
    assert images.dtype == dtype
    assert np.ptp(images[0]) > 0 and not np.array_equal(images[0], images[1])


def test_the_median_beat_is_a_source_of_its_own():
    spec = ImageSpec(layout="raster", source="median-beat", window_s=0.8, rate=250.0)
    cleaned = clean(Waveform(ecg(), 500.0), 250.0)
    beat = median_beat(cleaned, find_beats(cleaned, 250.0), 200)
    np.testing.assert_array_equal(window_of(cleaned, spec), beat)


def test_a_record_without_a_beat_falls_back_to_its_window():
    spec = ImageSpec(layout="raster", source="median-beat", window_s=0.8)
    cleaned = np.zeros((12, 1000), dtype=np.float32)
    assert window_of(cleaned, spec).shape == (12, 80)


# The image of Qiu et al. 2023 as their public code makes it: one second at an R peak.

ONE_SECOND = ImageSpec(
    source="beat",
    window_s=1.0,
    filter=Filter(band_hz=(0.5, 15.0), order=2),
    tile=100,
    bins=4,
    scaling="peak",
    fill="columns",
    size=224,
)


def by_columns(image: np.ndarray, lead: int) -> np.ndarray:
    """The tile of a lead where I, II and III stand in the first column."""
    column, row = divmod(lead, 3)
    return image[100 * row : 100 * row + 100, 100 * column : 100 * column + 100]


def test_one_second_at_an_r_peak_equals_pyts_in_every_tile(pyts_image, ptbxl):
    spec = replace(ONE_SECOND, size=0, dtype="float32")
    gaf = pyts_image.GramianAngularField(sample_range=None)
    plot = pyts_image.RecurrencePlot(threshold=None)
    field = pyts_image.MarkovTransitionField(n_bins=4)
    for waveform in ptbxl("records100", 4):
        second = window_of(clean(waveform, 100.0, spec.filter), spec)
        image = draw(second[None], spec)[0]
        assert image.shape == (300, 400, 3)
        scaled = second.astype(np.float64)
        scaled /= np.abs(scaled).max(axis=1, keepdims=True)
        expected = np.stack(
            [
                gaf.fit_transform(scaled),
                np.clip(plot.fit_transform(scaled), 0.0, 1.0),
                field.fit_transform(scaled),
            ],
            axis=-1,
        )
        for lead in range(12):
            np.testing.assert_allclose(by_columns(image, lead), expected[lead], atol=8e-4)
            np.testing.assert_allclose(
                by_columns(image, lead)[..., 1:], expected[lead][..., 1:], atol=1e-6
            )


def test_the_whole_image_is_resized_at_last():
    second = window()[:, 300:400]
    image = draw(np.stack([second, -second]), ONE_SECOND)
    assert image.shape == (2, *ONE_SECOND.shape) == (2, 224, 224, 3)
    drawn = draw(second[None], replace(ONE_SECOND, size=0))[0].astype(float)
    means = drawn.reshape(3, 100, 4, 100, 3).mean(axis=(1, 3))  # of each tile
    tiles = image[0].astype(float)
    for row, column in np.ndindex(3, 4):
        inside = tiles[round(row * 224 / 3) :, 56 * column : 56 * column + 56]
        found = inside[: round(224 / 3)].mean(axis=(0, 1))
        np.testing.assert_allclose(found, means[row, column], atol=3.0)
    values = draw(second[None], replace(ONE_SECOND, dtype="float32"))[0]
    np.testing.assert_allclose(values[..., 0] * 127.5 + 127.5, tiles[..., 0], atol=1.6)
    np.testing.assert_allclose(values[..., 1:] * 255.0, tiles[..., 1:], atol=1.6)


def test_an_encoding_that_is_left_out_is_a_black_channel():
    second = window()[None, :, 300:400]
    whole = draw(second, ONE_SECOND)
    only = draw(second, replace(ONE_SECOND, encodings=("black", "rp", "black")))
    np.testing.assert_array_equal(only[..., 1], whole[..., 1])
    assert not only[..., [0, 2]].any()


def test_over_its_peak_a_lead_keeps_its_baseline():
    spec = ImageSpec(layout="raster", scaling="peak", dtype="float32")
    signal = window()
    signal[6] = 0.0
    found = draw(signal[None], spec)[0, ..., 0]
    largest = np.abs(signal).max(axis=1, keepdims=True)
    np.testing.assert_allclose(found, signal / np.where(largest, largest, 1.0), atol=1e-6)


def test_a_plot_of_one_second_reaches_to_its_largest_value():
    spec = replace(ONE_SECOND, layout="simple-plot", size=0)
    signal = np.zeros((12, 100), dtype=np.float32)
    signal[1, 50] = 0.7
    tile = by_columns(draw(signal[None], spec)[0], 1)[..., 0]
    assert np.flatnonzero(tile.any(axis=1))[[0, -1]].tolist() == [0, 50]
    assert draw(signal[None], replace(spec, size=224)).shape == (1, 224, 224, 1)


def test_the_beat_nearest_to_the_middle_of_the_best_stretch_is_drawn():
    cleaned = clean(Waveform(ecg(bpm=60.0), 500.0), 100.0, ONE_SECOND.filter)
    peaks = find_beats(cleaned, 100.0).peaks
    nearest = peaks[np.abs(peaks - 500).argmin()]
    np.testing.assert_array_equal(
        window_of(cleaned, ONE_SECOND), cleaned[:, nearest - 50 : nearest + 50]
    )
    cleaned[:, 450:550] *= 8.0  # an artefact in the middle of the record
    place = window_of(cleaned, ONE_SECOND)
    assert np.abs(place).max() < 0.5 * np.abs(cleaned).max()


def test_all_whole_beats_can_be_drawn():
    cleaned = clean(Waveform(ecg(bpm=60.0), 500.0), 100.0, ONE_SECOND.filter)
    found = find_beats(cleaned, 100.0).peaks
    whole = [peak for peak in found if 50 <= peak <= len(cleaned[0]) - 50]
    beats = beats_of(cleaned, ONE_SECOND)
    assert beats.shape == (len(whole), 12, 100) and len(whole) < len(found)
    for peak, beat in zip(whole, beats, strict=True):
        np.testing.assert_array_equal(beat, cleaned[:, peak - 50 : peak + 50])
    assert any(np.array_equal(beat, window_of(cleaned, ONE_SECOND)) for beat in beats)


def test_a_record_without_a_beat_gives_one_second_of_itself():
    flat = np.zeros((12, 1000), dtype=np.float32)
    assert beats_of(flat, ONE_SECOND).shape == (1, 12, 100)
    short = np.ones((12, 40), dtype=np.float32)
    assert window_of(short, ONE_SECOND).shape == (12, 100)
