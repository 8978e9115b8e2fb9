"""What a process tells its supervisor, by two files."""

from cardex.domain.settings import Settings


def mark_starting(settings: Settings) -> None:
    """Take away what a process that died left for the supervisor."""
    for path in (settings.ready_file, settings.alive_file):
        if path is not None:
            path.unlink(missing_ok=True)


def mark_ready(settings: Settings) -> None:
    """Tell the supervisor, by a file, that this process can be used."""
    if settings.ready_file is not None:
        settings.ready_file.touch()


def mark_stopping(settings: Settings) -> None:
    """Tell the supervisor that this process takes no more work."""
    if settings.ready_file is not None:
        settings.ready_file.unlink(missing_ok=True)


def mark_alive(settings: Settings) -> None:
    """Tell the supervisor, by the age of a file, that this process gets on."""
    if settings.alive_file is not None:
        settings.alive_file.touch()
