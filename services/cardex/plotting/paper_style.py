"""The options of a printed ECG: paper speed, gain, layout of the leads, and where it starts."""

from collections.abc import Mapping
from dataclasses import dataclass

from cardex.domain.ecg import LEADS
from cardex.domain.errors import InvalidQuestion

STRIP_MM = 250.0
"""Width of a strip, whatever its layout."""

_COLUMNS = (
    ("I", "aVR", "V1", "V4"),
    ("II", "aVL", "V2", "V5"),
    ("III", "aVF", "V3", "V6"),
)
LAYOUTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "3x4+1": (*_COLUMNS, ("II",)),
    "3x4+3": (*_COLUMNS, ("II",), ("V1",), ("V5",)),
    "6x2": tuple(zip(LEADS[:6], LEADS[6:], strict=True)),
    "12x1": tuple((lead,) for lead in LEADS),
}
"""The rows of each layout, top first; the leads of a row follow each other in time."""
SPEEDS = (25.0, 50.0)
GAINS = (5.0, 10.0, 20.0)


@dataclass(frozen=True, slots=True)
class PaperStyle:
    """How an ECG is put on paper.

    Attributes:
        speed: 25 or 50 mm/s.
        gain: 5, 10 or 20 mm/mV.
        layout: a key of `LAYOUTS`.
        start: where the strip begins in the record, s.
        header: whether device, time and the machine's statements are printed.
        processing: how the signal was filtered, for the footer.

    Raises:
        InvalidQuestion: if a value is not allowed; it names the field.
    """

    speed: float = 25.0
    gain: float = 10.0
    layout: str = "3x4+1"
    start: float = 0.0
    header: bool = True
    processing: str = "as recorded"

    def __post_init__(self) -> None:
        """Check the fields."""
        for field, given, allowed in (
            ("speed", self.speed, SPEEDS),
            ("gain", self.gain, GAINS),
            ("layout", self.layout, tuple(LAYOUTS)),
        ):
            if given not in allowed:
                names = ", ".join(map(_named, allowed))
                raise InvalidQuestion(
                    f"{field} {_named(given)}: must be one of {names}", field=field
                )

    @property
    def seconds(self) -> float:
        """Duration of a strip of full width, s."""
        return STRIP_MM / self.speed


def _named(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"
