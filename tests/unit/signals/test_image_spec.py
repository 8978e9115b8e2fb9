import msgspec
import pytest

from cardex.signals.cleaning import Filter
from cardex.signals.image_spec import ImageSpec


def test_the_id_is_the_same_in_every_process_and_release():
    spec = ImageSpec("all-grid", rate=100.0, window_s=10.0, tile=64, columns=4, bins=8)
    assert spec.id == "all-grid-c137201ce882"


SHIPPED = (
    '{"layout":"raster","source":"rhythm","encodings":["gasf","rp","mtf"],"rate":100.0,'
    '"window_s":10.0,"filter":{"band_hz":[0.5,40.0],"notch_hz":0.0,"points":1},"tile":64,'
    '"columns":4,"bins":8,"dimension":1,"delay":1,"threshold":0.0,"scaling":"deviation",'
    '"full_scale_mv":2.0,"dtype":"uint8"}'
)


def test_a_model_of_an_earlier_release_keeps_its_specification():
    spec = ImageSpec.from_json(SHIPPED)
    assert spec == ImageSpec(layout="raster", scaling="deviation")
    assert spec.id == "raster-50414529aa99"
    assert spec.to_json() == SHIPPED


def test_an_added_field_is_written_only_where_it_is_used():
    spec = ImageSpec(layout="raster", scaling="deviation", amplitude=True)
    assert spec.to_json() == SHIPPED[:-1] + ',"amplitude":true}'
    assert ImageSpec.from_json(spec.to_json()) == spec
    assert spec.id != ImageSpec.from_json(SHIPPED).id
    assert ImageSpec.from_json(SHIPPED[:-1] + ',"amplitude":false}').id == (
        ImageSpec.from_json(SHIPPED).id
    )


@pytest.mark.parametrize(
    "spec",
    [
        ImageSpec(fill="columns"),
        ImageSpec(size=224),
        ImageSpec(filter=Filter(order=2)),
        ImageSpec(source="beat", window_s=1.0, scaling="peak", encodings=("gasf", "black")),
    ],
)
def test_what_was_added_survives_its_json_and_has_an_id_of_its_own(spec):
    assert ImageSpec.from_json(spec.to_json()) == spec
    assert spec.id != ImageSpec().id


@pytest.mark.parametrize(
    "fields",
    [{"layout": "all-grid"}, {"layout": "raster", "scaling": "millivolt"}, {"layout": "raster"}],
)
def test_marks_of_the_amplitude_belong_to_a_raster_by_deviation(fields):
    with pytest.raises(ValueError, match="amplitude: the marks belong to a raster"):
        ImageSpec(amplitude=True, **fields)


@pytest.mark.parametrize(
    "same",
    [
        ImageSpec(rate=100, window_s=10, full_scale_mv=2, threshold=0),
        ImageSpec(threshold=-0.0),
        ImageSpec(filter=Filter((0.5, 40), 0, 1)),
    ],
)
def test_equal_specifications_have_one_id(same):
    assert same == ImageSpec() and same.id == ImageSpec().id
    assert ImageSpec.from_json(same.to_json()).id == same.id


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
        ImageSpec(encodings=("rp", "gasf", "mtf")),
        ImageSpec(filter=Filter(points=3)),
        ImageSpec(dimension=2),
        ImageSpec(dimension=2, delay=2),
        ImageSpec(threshold=0.1),
        ImageSpec(scaling="record"),
        ImageSpec(full_scale_mv=5.0),
        ImageSpec(dtype="float32"),
        ImageSpec(layout="raster"),
        ImageSpec(source="median-beat", window_s=1.0),
    ],
)
def test_every_field_is_part_of_the_id(other):
    assert other.id != ImageSpec().id


@pytest.mark.parametrize(
    "spec", [ImageSpec(), ImageSpec(rate=250.0, tile=128, columns=6, bins=5, encodings=("gadf",))]
)
def test_a_specification_survives_its_json(spec):
    assert ImageSpec.from_json(spec.to_json()) == spec


def without(field: str) -> str:
    fields = msgspec.json.decode(ImageSpec().to_json())
    del fields[field]
    return msgspec.json.encode(fields).decode()


def changed(**values: object) -> str:
    fields = msgspec.json.decode(ImageSpec().to_json())
    return msgspec.json.encode(fields | values).decode()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{}", "bins"),
        (without("columns"), "columns"),
        (without("filter"), "filter"),
        (changed(filter={"band_hz": [0.5, 40.0]}), "filter.notch_hz"),
        (changed(tyle=64), "tyle"),
        (changed(tile="big"), "tile"),
        (changed(layout="strip"), "layout"),
        (changed(filter={"band_hz": [0.5, 40.0], "notch_hz": 0.0, "points": 2}), "points"),
        (changed(filter={"band_hz": [0.5, 40.0], "notch": 0.0}), "filter.notch"),
    ],
)
def test_a_specification_that_is_not_whole_is_refused_by_name(text, named):
    with pytest.raises(msgspec.ValidationError, match=named):
        ImageSpec.from_json(text)


def test_some_fields_make_a_specification_with_the_defaults_of_the_others():
    assert ImageSpec.from_fields({"tile": 128}) == ImageSpec(tile=128)
    with pytest.raises(msgspec.ValidationError, match="tyle"):
        ImageSpec.from_fields({"tyle": 128})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("layout", "strip"),
        ("source", "echo"),
        ("scaling", "none"),
        ("dtype", "int8"),
        ("encodings", ()),
        ("encodings", ("gasf", "gasf")),
        ("encodings", ("gasf", "gadf", "rp", "mtf")),
        ("encodings", ("fft",)),
        ("encodings", ("black",)),
        ("encodings", ("black", "rp", "black", "black")),
        ("fill", "diagonal"),
        ("size", -1),
        ("size", 5000),
        ("rate", 10.0),
        ("rate", 80.0),
        ("window_s", 0.0),
        ("tile", 3),
        ("tile", 10_000),
        ("columns", 0),
        ("columns", 13),
        ("bins", 1),
        ("dimension", 0),
        ("delay", 0),
        ("threshold", 1.5),
        ("full_scale_mv", 0.0),
    ],
)
def test_a_field_out_of_range_is_named(field, value):
    with pytest.raises(ValueError, match=field):
        ImageSpec(**{field: value})


def test_a_tile_that_the_samples_cannot_fill_is_refused():
    with pytest.raises(ValueError, match="tile 128: 100 samples cannot fill the 128"):
        ImageSpec(tile=128, window_s=1.0)
    with pytest.raises(ValueError, match="tile 96"):
        ImageSpec(tile=96, window_s=1.0, dimension=3, delay=4)
    assert ImageSpec(layout="all-concat", tile=128, window_s=1.0).shape == (128, 128, 3)


def test_a_plot_needs_no_trajectories():
    ImageSpec(layout="simple-plot", dimension=32, delay=100)


@pytest.mark.parametrize("source", ["median-beat", "beat"])
def test_a_beat_does_not_last_ten_seconds(source):
    with pytest.raises(ValueError, match="window_s"):
        ImageSpec(source=source)
