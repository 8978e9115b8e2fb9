"""Hostile files: mutants of real ones and bombs, and a process of its own to read them in."""

import io
import multiprocessing
import re
import resource
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cardex.domain.ecg import LEADS, FilePart

Parts = tuple[FilePart, ...]
NUMBERS = (b"0", b"-1", b"1", b"255", b"65535", b"99999999", b"2147483648", b"1e308", b"nan", b"x")
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclass(frozen=True)
class Outcome:
    """What reading one file came to: a reason, "read", or the traceback of a foreign exception."""

    name: str
    result: str
    seconds: float
    foreign: bool


# Reading, in a process that does nothing else.


def read_apart(
    work: Callable[[], Iterator[tuple[str, Parts]]],
) -> tuple[list[Outcome], float]:
    """Read files in one spawned process; returns the outcomes and its peak memory in MB."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_read_all, work).result()


def _read_all(
    work: Callable[[], Iterator[tuple[str, Parts]]],
) -> tuple[list[Outcome], float]:
    import traceback

    from cardex.domain.errors import InvalidEcg
    from cardex.signals.readers import read, warm_up

    warm_up()
    outcomes = []
    for name, parts in work():
        start = time.perf_counter()
        foreign = False
        try:
            read(parts, subject_key=b"key")
            result = "read"
        except InvalidEcg as error:
            result = error.reason
        except BaseException:
            result, foreign = traceback.format_exc(), True
        outcomes.append(Outcome(name, result, time.perf_counter() - start, foreign))
    return outcomes, _peak_mb()


def _peak_mb() -> float:
    # ru_maxrss of a spawned process starts at what its parent had, since the two shared memory.
    status = Path("/proc/self/status")
    if status.exists():
        peak = re.search(r"VmHWM:\s+(\d+)", status.read_text())
        assert peak is not None
        return int(peak[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass(frozen=True)
class Files:
    """Files of a folder, one folder within per recording, to be read in the other process."""

    folder: Path

    def __call__(self) -> Iterator[tuple[str, Parts]]:
        for folder in sorted(self.folder.iterdir()):
            yield (
                folder.name,
                tuple(FilePart(p.name, p.read_bytes()) for p in sorted(folder.iterdir())),
            )


def save(folder: Path, recordings: Mapping[str, Parts]) -> Files:
    """Write each recording into a folder of its own; bytes that several share are written once."""
    written: dict[int, Path] = {}
    for name, parts in recordings.items():
        (folder / name).mkdir(parents=True)
        for part in parts:
            path = folder / name / (part.name or "ecg")
            if id(part.content) in written:
                path.hardlink_to(written[id(part.content)])
            else:
                path.write_bytes(part.content)
                written[id(part.content)] = path
    return Files(folder)


# Mutants.


@dataclass(frozen=True)
class Mutants:
    """Seeded mutants of originals: (name, parts, how many)."""

    originals: tuple[tuple[str, Parts, int], ...]
    seed: int

    def __call__(self) -> Iterator[tuple[str, Parts]]:
        rng = np.random.default_rng(self.seed)
        for name, parts, count in self.originals:
            for number in range(count):
                changed = list(parts)
                place = int(rng.integers(len(parts)))
                content = bytearray(parts[place].content)
                for _ in range(int(rng.integers(1, 4))):
                    _MUTATIONS[int(rng.integers(len(_MUTATIONS)))](rng, content)
                changed[place] = FilePart(parts[place].name, bytes(content))
                yield f"{name} {number}", tuple(changed)


def _somewhere(rng: np.random.Generator, content: bytearray) -> int:
    """A place in the content; every second one among the first 2 KiB, where headers are."""
    end = len(content) if rng.random() < 0.5 else min(2048, len(content))
    return int(rng.integers(max(1, end)))


def _flip(rng: np.random.Generator, content: bytearray) -> None:
    for _ in range(int(rng.integers(1, 33))):
        if content:
            content[_somewhere(rng, content)] ^= 1 << int(rng.integers(8))


def _truncate(rng: np.random.Generator, content: bytearray) -> None:
    del content[_somewhere(rng, content) :]


def _splice(rng: np.random.Generator, content: bytearray) -> None:
    source, target = _somewhere(rng, content), _somewhere(rng, content)
    piece = content[source : source + int(rng.integers(1, 4096))]
    if rng.random() < 0.5:
        content[target:target] = piece * int(rng.integers(1, 5))
    else:
        content[target : target + len(piece)] = piece


def _renumber(rng: np.random.Generator, content: bytearray) -> None:
    start = _somewhere(rng, content)
    found = re.search(rb"\d+", content[start : start + 4096])
    if found:
        number = NUMBERS[int(rng.integers(len(NUMBERS)))]
        if rng.random() < 0.5:  # of the same width, as fields of EDF must be
            number = number[: len(found[0])].ljust(len(found[0]))
        content[start + found.start() : start + found.end()] = number


def _blow_up(rng: np.random.Generator, content: bytearray) -> None:
    start = _somewhere(rng, content)
    value = EXTREMES[int(rng.integers(len(EXTREMES)))]
    form = ("<H", "<I", ">I")[int(rng.integers(3))]
    packed = struct.pack(form, value & (0xFFFF if form == "<H" else 0xFFFFFFFF))
    content[start : start + len(packed)] = packed


_MUTATIONS = (_flip, _truncate, _splice, _renumber, _blow_up)


# Bombs: what is small and asks for much.


def zipped(name: str, content: bytes, method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def xml_bombs(root: str) -> dict[str, bytes]:
    """Documents with a root element of an ECG format that no parser should build a tree of."""
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    laughs = f'<!DOCTYPE {root} [<!ENTITY l0 "lol">{levels}]><{root}>&l9;</{root}>'
    blowup = f'<!DOCTYPE {root} [<!ENTITY a "{"x" * 100_000}">]><{root}>{"&a;" * 20_000}</{root}>'
    outside = f'<!DOCTYPE {root} [<!ENTITY a SYSTEM "file:///etc/passwd">]><{root}>&a;</{root}>'
    attributes = " ".join(f'a{n}="1"' for n in range(100_000))
    documents = {
        "laughs": laughs,
        "blowup": blowup,
        "outside": outside,
        "deep": f"<{root}>" + "<a>" * 500_000 + "</a>" * 500_000 + f"</{root}>",
        "wide": f"<{root}>" + "<a/>" * 2_000_000 + f"</{root}>",
        "attributes": f"<{root} {attributes}/>",
        "attribute": f'<{root} a="{"x" * 15_000_000}"/>',
        "text": f"<{root}><a>{'1 ' * 7_000_000}</a></{root}>",
        "comment": f"<{root}><!--{'x' * 15_000_000}--></{root}>",
        "unclosed": f"<{root}>" + "<" * 5_000_000,
    }
    bombs = {name: text.encode() for name, text in documents.items()}
    return bombs | {"laughs in utf-16": laughs.encode("utf-16")}


def lzw_bomb(codes: int) -> bytes:
    """A chunk of XLI whose LZW codes each name the longest string there is so far."""
    values = np.concatenate([[65], np.arange(256, 1023), np.full(codes, 1022)])
    bits = (values[:, None] >> np.arange(9, -1, -1)) & 1  # (codes, 10)
    packed = np.packbits(bits.astype(np.uint8).ravel()).tobytes()
    return struct.pack("<IHh", len(packed), 0, 0) + packed


def dicom_elements(dataset_bytes: bytes, extra: bytes) -> bytes:
    """A DICOM file with elements put before its waveforms."""
    place = dataset_bytes.index(b"\x00\x54\x00\x01SQ")
    return dataset_bytes[:place] + extra + dataset_bytes[place:]


def deflated_dicom(dataset_bytes: bytes, size: int) -> bytes:
    """A DICOM file under the deflated transfer syntax that inflates to `size` zeros."""
    old, new = b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.1.2.1.99"
    length = struct.unpack_from("<I", dataset_bytes, 140)[0]
    meta = bytearray(dataset_bytes[: 144 + length])
    place = meta.index(old)
    meta[place - 2 : place + len(old)] = struct.pack("<H", len(new)) + new
    struct.pack_into("<I", meta, 140, length + len(new) - len(old))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20))
    return bytes(meta) + packed + packer.flush()


def scp(sections: dict[int, bytes]) -> bytes:
    """An SCP-ECG file of section bodies."""
    pointers, bodies, place = b"", b"", 6 + 16 + 10 * 12 + 1
    for number in range(12):
        body = sections.get(number, b"")
        size = 16 + len(body) if body else 0
        if number == 0:
            pointers += struct.pack("<HII", 0, 16 + 120, 7)
            continue
        pointers += struct.pack("<HII", number, size, place if size else 0)
        if size:
            bodies += struct.pack("<HHIBB6x", 0, number, size, 20, 20) + body
            place += size
    head = struct.pack("<HHIBB6x", 0, 0, 136, 20, 20) + pointers
    return struct.pack("<HI", 0, 6 + len(head) + len(bodies)) + head + bodies


def scp_leads(count: int, samples: int) -> bytes:
    leads = b"".join(struct.pack("<IIB", 1, samples, 1 + n % 8) for n in range(count))
    return bytes([count, 0]) + leads


def zip_bombs() -> dict[str, bytes]:
    entry = struct.pack(
        "<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0
    )
    entries = (entry + b"a") * 200_000
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 65535, 65535, len(entries), 4, 0)
    zeros = bytes(200 << 20)
    return {
        "deflated": zipped("a.dat", zeros, zipfile.ZIP_DEFLATED),
        "bzip2": zipped("a.dat", zeros, zipfile.ZIP_BZIP2),
        "lzma": zipped("a.dat", zeros[: 100 << 20], zipfile.ZIP_LZMA),
        "entries": b"PK\x03\x04" + entries + end,
        "damaged": b"PK\x03\x04" + bytes(100_000),
    }


def matlab_bomb() -> bytes:
    """A MATLAB 5 file with one compressed element that unpacks to 100 MB."""
    packed = zlib.compress(bytes(100 << 20), 9)
    head = b"MATLAB 5.0 MAT-file, Platform: PCWIN64".ljust(124) + b"\x00\x01IM"
    return head + struct.pack("<II", 15, len(packed)) + packed


def header(first: str, line: str = "a.dat 16 1000(0)/mV 16 0 0 0 0", count: int = 12) -> bytes:
    lines = [f"{line} {LEADS[n % 12]}" for n in range(count)]
    return "\n".join([first, *lines, ""]).encode()
