"""`make compose`: compose.yaml by podman-compose, until Ctrl-C."""

import argparse
import signal

from deploy.compose.passwords import chosen_folder
from deploy.compose.project import Project


def main() -> None:
    """Run the project until Ctrl-C or SIGTERM; what is given besides goes to podman-compose."""
    _, options = argparse.ArgumentParser(description=__doc__).parse_known_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Project(folder=chosen_folder(), options=options):
            print("ready; Ctrl-C stops, and the volumes stay", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
