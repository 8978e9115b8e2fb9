import pytest

from cardex.domain.errors import ConfigurationError
from cardex.models.config import (
    config_files,
    parameters,
    remove_parameters,
    set_image_shape,
    set_parameters,
    set_versions,
    versions,
)

TEXT = """# A reason.
version_policy { specific { versions: [ 1 ] } }
parameters { key: "threads" value: { string_value: "auto" } }
parameters { key: "1.probe" value: { string_value: "[1, 2]" } }
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "cpu.pbtxt"
    path.write_text(TEXT)
    return path


def test_a_parameter_that_is_there_changes_in_its_place(config):
    set_parameters(config, 1, {"probe": "[3]"})
    assert config.read_text() == TEXT.replace("[1, 2]", "[3]")


def test_a_new_versions_parameters_come_to_the_end_and_go_again(config):
    set_parameters(config, 2, {"probe": "[4]", "image_spec": '{"a": "b\\\\c"}'})
    assert parameters(config, 2) == {"probe": "[4]", "image_spec": '{"a": "b\\\\c"}'}
    assert parameters(config, 1) == {"probe": "[1, 2]"}
    remove_parameters(config, 2)
    assert config.read_text() == TEXT


def test_version_1_is_not_version_11(config):
    set_parameters(config, 11, {"probe": "[5]"})
    remove_parameters(config, 1)
    assert parameters(config, 1) == {}
    assert parameters(config, 11) == {"probe": "[5]"}


def test_versions_are_read_and_set_beside_their_comment(config):
    assert versions(config) == [1]
    set_versions(config, [1, 12])
    assert versions(config) == [1, 12]
    assert config.read_text() == TEXT.replace("[ 1 ]", "[ 1, 12 ]")


def test_a_configuration_without_a_policy_is_named(config):
    config.write_text("name: 'x'\n")
    with pytest.raises(ConfigurationError, match=r"cpu\.pbtxt has no line 'version_policy"):
        set_versions(config, [1])


def test_a_missing_configuration_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"gone\.pbtxt"):
        parameters(tmp_path / "gone.pbtxt", 1)


def test_the_image_has_one_shape_everywhere(repository):
    for config in config_files(repository, "ecg_image_encoder"):
        before = config.read_text().count("12, 1000, 1")
        set_image_shape(config, (8, 500, 3))
        assert config.read_text().count("8, 500, 3") == before >= 2
        assert "12, 1000, 1" not in config.read_text()


def test_a_configuration_without_an_image_is_named(config):
    with pytest.raises(ConfigurationError, match="dims of the image"):
        set_image_shape(config, (1, 2, 3))
