"""`make flames`: flame graphs of gateway and routine worker under an import, as SVG files.

py-spy looks at both two hundred times a second from outside; it may need root, or ptrace rights.
"""

import subprocess
from pathlib import Path

from cardex.domain.settings import load_settings
from loadtest.house import house

RECORDS, SECONDS, RATE_HZ = 3_000, 10, 200
PROCESSES = ("gateway", "worker-routine-1")


def main() -> None:
    """Draw them below the data folder, and print where they are."""
    folder = load_settings().data_dir / "flames"
    folder.mkdir(parents=True, exist_ok=True)
    with house() as own:
        source = own.archive(RECORDS)
        source.begin()
        spies = [_spy(own.stack.pids[name], folder / f"{name}.svg") for name in PROCESSES]
        for spy in spies:
            if spy.wait():
                raise SystemExit(f"py-spy ended with {spy.returncode}: run it as root?")
        source.result()
    print("\n".join(str(folder / f"{name}.svg") for name in PROCESSES))


def _spy(pid: int, path: Path) -> subprocess.Popen[bytes]:
    command = ["py-spy", "record", "--pid", str(pid), "--output", str(path), "--duration",
               str(SECONDS), "--rate", str(RATE_HZ), "--threads"]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
