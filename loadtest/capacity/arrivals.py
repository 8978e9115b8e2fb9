"""When ECGs come: bedside ECGs over a hospital's day, archives at night."""

from collections.abc import Sequence
from dataclasses import dataclass

DAY = (
    0.4, 0.35, 0.3, 0.3, 0.35, 0.5, 0.8, 1.3, 1.8, 2.0, 1.9, 1.7,
    1.5, 1.4, 1.5, 1.4, 1.3, 1.1, 0.9, 0.8, 0.7, 0.6, 0.55, 0.55,
)  # fmt: skip
"""Bedside ECGs of each hour over the mean: assumed, a ward's round at nine and calm nights."""
HOUR_S = 3600.0


def share_of_day(hour: int) -> float:
    """Return the share of a day's bedside ECGs that comes in one hour."""
    return DAY[hour % 24] / sum(DAY)


@dataclass(frozen=True, slots=True)
class Night:
    """When archives are imported.

    Attributes:
        begins: hour at which they come, all at once.
        ends: hour at which they have to be done.
    """

    begins: int = 22
    ends: int = 6

    @property
    def hours(self) -> Sequence[int]:
        """The hours of the night."""
        return [(self.begins + n) % 24 for n in range((self.ends - self.begins) % 24)]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.hours) * HOUR_S


@dataclass(frozen=True, slots=True)
class Demand:
    """What hospitals send.

    Attributes:
        hospitals: how many.
        bedside_per_day: STAT ECGs of one hospital a day.
        archive_per_night: routine records of one hospital a night.
        night: when the archives are imported.
    """

    hospitals: int
    bedside_per_day: float
    archive_per_night: int
    night: Night = Night()

    @property
    def archive(self) -> int:
        """Routine records of all hospitals a night."""
        return self.hospitals * self.archive_per_night

    @property
    def archive_per_s(self) -> float:
        """Routine records/s with which all are done by morning."""
        return self.archive / self.night.seconds

    def bedside_per_s(self, hour: int) -> float:
        """Return the STAT ECGs/s of an hour."""
        return self.hospitals * self.bedside_per_day * share_of_day(hour) / HOUR_S

    @property
    def peak(self) -> "Load":
        """The day's hour with the most bedside ECGs."""
        return Load(max(map(self.bedside_per_s, range(24))), 0.0)

    @property
    def busiest_night(self) -> "Load":
        """The night's hour with the most bedside ECGs, beside the archives."""
        return Load(max(map(self.bedside_per_s, self.night.hours)), self.archive_per_s)


@dataclass(frozen=True, slots=True)
class Load:
    """What comes for a while.

    Attributes:
        stat_per_s: bedside ECGs/s, a Poisson process.
        routine_per_s: records/s of an archive.
    """

    stat_per_s: float
    routine_per_s: float

    def over(self, parts: int) -> "Load":
        """Return the load of one of some equal parts."""
        return Load(self.stat_per_s / parts, self.routine_per_s / parts)
