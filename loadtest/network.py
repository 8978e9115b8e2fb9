"""Several hosts on one machine: network namespaces, joined by a switch that can do harm.

The switch is this process: each host's one interface is a TAP device whose frames come here, so
that a link can be cut, delayed or made to lose frames by a seed, on any kernel with TAP devices.
"""

import fcntl
import heapq
import itertools
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

TUN = Path("/dev/net/tun")
NET = f"198.18.{os.getpid() % 256}"
"""Of the range for benchmarks (RFC 2544), which no real host has; another one for each process."""
OUTSIDE = "outside"
"""This machine's own namespace, as a host."""
_TUNSETIFF = 0x400454CA
_TAP_WITHOUT_HEADER = 0x0002 | 0x1000
MTU = 9000
FRAME = 65_536
BROADCAST = b"\xff" * 6
IDLE_S = 0.2


def missing() -> str:
    """Return why there can be no such network here, "" where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not TUN.exists():
        return f"there is no {TUN} here"
    if shutil.which("ip") is None:
        return "there is no `ip` here (iproute2)"
    return ""


@dataclass
class Link:
    """What a host's cable does to frames, both ways.

    Attributes:
        cut: True where nothing goes through.
        delay_s: how long each frame takes, in seconds.
        loss: share of the frames that are lost.
    """

    cut: bool = False
    delay_s: float = 0.0
    loss: float = 0.0


@dataclass
class Host:
    """A namespace with one interface.

    Attributes:
        name: of the host.
        address: its IPv4 address.
        namespace: its name for `ip netns`; "" for this machine's own.
        device: name of its interface.
        tap: descriptor of the other end of it.
        link: what its cable does.
    """

    name: str
    address: str
    namespace: str
    device: str
    tap: int
    link: Link = field(default_factory=Link)

    def within(self, argv: Sequence[str]) -> list[str]:
        """Return the command that runs `argv` on this host."""
        return ["ip", "netns", "exec", self.namespace, *argv] if self.namespace else list(argv)


class Network:
    """Hosts that reach one another by address; a context manager.

    Attributes:
        hosts: by name, `OUTSIDE` among them.
    """

    def __init__(self, names: Sequence[str], seed: int) -> None:
        """Prepare hosts; `seed` decides which frames a link loses."""
        self._names, self._random = names, random.Random(seed)
        self.hosts: dict[str, Host] = {}
        self._made = ExitStack()
        self._places: dict[bytes, Host] = {}
        self._late: list[tuple[float, int, Host, bytes]] = []
        self._numbers = itertools.count()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="switch", daemon=True)

    def __enter__(self) -> Self:
        """Make the hosts, and let frames through."""
        try:
            for number, name in enumerate(self._names, start=1):
                self._make(name, number, f"cardex-{os.getpid()}-{name}")
            self._make(OUTSIDE, 254, "")
        except BaseException:
            self._made.close()
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the hosts; their processes have to have ended."""
        self._stopping.set()
        self._thread.join()
        self._made.close()

    def _make(self, name: str, number: int, namespace: str) -> None:
        device = f"cdx{os.getpid() % 100_000}n{number}"
        tap = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(
            tap, _TUNSETIFF, struct.pack("16sH22s", device.encode(), _TAP_WITHOUT_HEADER, b"")
        )
        self._made.callback(os.close, tap)  # the device goes with it
        host = Host(name, f"{NET}.{number}", namespace, device, tap)
        self.hosts[name] = host
        if namespace:
            _ip("netns", "add", namespace)
            self._made.callback(_ip, "netns", "delete", namespace)
            _ip("link", "set", device, "netns", namespace)
            _run(host.within(["ip", "link", "set", "lo", "up"]))
        _run(host.within(["ip", "address", "add", f"{host.address}/24", "dev", device]))
        _run(host.within(["ip", "link", "set", device, "mtu", str(MTU), "up"]))

    @contextmanager
    def harmed(self, *names: str, **harm: float) -> Iterator[None]:
        """Change the links of hosts while a block runs; the fields of `Link` say how."""
        links = [self.hosts[name].link for name in names]
        for link in links:
            for what, value in harm.items():
                setattr(link, what, value)
        try:
            yield
        finally:
            for link in links:
                for what in harm:
                    setattr(link, what, type(getattr(link, what))(0))

    def _run(self) -> None:
        poll = select.poll()
        by_tap = {host.tap: host for host in self.hosts.values()}
        for tap in by_tap:
            poll.register(tap, select.POLLIN)
        while not self._stopping.is_set():
            due = self._late[0][0] - time.monotonic() if self._late else IDLE_S
            for tap, _ in poll.poll(max(0, int(1000 * min(due, IDLE_S)))):
                self._take(by_tap[tap])
            self._hand_out_late()

    def _take(self, source: Host) -> None:
        """Read what a host sends, and pass it on."""
        for _ in range(64):  # the others' turn comes
            try:
                frame = os.read(source.tap, FRAME)
            except (BlockingIOError, OSError):
                return
            self._places[frame[6:12]] = source
            known = self._places.get(frame[:6])
            targets = [known] if known else [h for h in self.hosts.values() if h is not source]
            for target in targets:
                self._pass_on(source.link, target, frame)

    def _pass_on(self, link: Link, target: Host, frame: bytes) -> None:
        links = (link, target.link)
        if any(each.cut or self._random.random() < each.loss for each in links):
            return
        if (delay := sum(each.delay_s for each in links)) > 0.0:
            late = (time.monotonic() + delay, next(self._numbers), target, frame)
            heapq.heappush(self._late, late)
        else:
            _write(target, frame)

    def _hand_out_late(self) -> None:
        now = time.monotonic()
        while self._late and self._late[0][0] <= now:
            _, _, target, frame = heapq.heappop(self._late)
            if not target.link.cut:
                _write(target, frame)


def _write(host: Host, frame: bytes) -> None:
    try:
        os.write(host.tap, frame)
    except OSError:  # its queue is full: a frame is lost, as on any cable
        return


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip()}")
