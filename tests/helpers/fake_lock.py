"""A lock in this process that can be made to fail."""

from cardex.domain.errors import CardexError


class FakeLock:
    """A lock in this process; all that share `held` are the same one."""

    def __init__(self, held: "list[FakeLock]", lease_s: float = 15.0) -> None:
        self.held, self.lease_s = held, lease_s
        self.renewals = 0
        self.error: CardexError | None = None

    def take(self) -> bool:
        if self.held:
            return False
        self.held.append(self)
        return True

    def renew(self) -> bool:
        self.renewals += 1
        if self.error is not None:
            raise self.error
        return self in self.held

    def release(self) -> None:
        if self in self.held:
            self.held.remove(self)
