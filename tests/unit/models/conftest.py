import shutil

import pytest


@pytest.fixture
def repository(root, tmp_path):
    """A copy of the model repository with one version."""
    shutil.copytree(root / "model_repository", tmp_path / "models", symlinks=True)
    return tmp_path / "models"


@pytest.fixture
def other(root, tmp_path):
    """A repository with another model version; its graphs are the same."""
    folder = tmp_path / "other"
    shutil.copytree(root / "model_repository", folder, symlinks=True)
    version = _version(folder)
    texts = [*folder.glob("*/configs/*.pbtxt"), *folder.glob("*/1/*.json")]
    for path in texts:
        path.write_text(path.read_text().replace(version, "cardex-other"))
    return folder


def _version(folder):
    from cardex.inference.repository import newest

    return newest(folder).version()
