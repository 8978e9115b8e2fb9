"""Damaged, malicious and very long files: none may crash, block or swell the reading process."""

import struct
import zipfile
from collections import Counter

import numpy as np
import pytest

from cardex.domain.ecg import LEADS, MAX_FILE_BYTES, FilePart
from tests.helpers.ecgs import ecg, wfdb_record
from tests.helpers.formats import dicom, edf, ishne, muse_pairs, one, table, written
from tests.helpers.hostile import (
    Mutants,
    deflated_dicom,
    dicom_elements,
    header,
    lzw_bomb,
    matlab_bomb,
    read_apart,
    save,
    scp,
    scp_leads,
    xml_bombs,
    zip_bombs,
    zipped,
)  # fmt: skip
from tests.helpers.real import demo_data

MAX_SECONDS = 2.0
MAX_MB = 300.0
LONG = {"TRUNCATED_ECG", "FILE_TOO_LARGE", "DURATION", "NOT_AN_ECG"}


def check(outcomes, peak_mb: float) -> Counter[str]:
    foreign = [f"{o.name}: {o.result}" for o in outcomes if o.foreign]
    assert not foreign, "\n".join(foreign[:5])
    slow = [(o.name, round(o.seconds, 2)) for o in outcomes if o.seconds > MAX_SECONDS]
    assert not slow
    assert peak_mb < MAX_MB
    return Counter(o.result for o in outcomes)


def test_mutants_are_read_or_refused(tmp_path, shared):
    signal = ecg(rate=100.0)
    record = wfdb_record(tmp_path, signal, rate=100.0)
    challenge = tuple(
        FilePart(path.name, path.read_bytes())
        for path in (demo_data().cpsc[0].with_suffix(suffix) for suffix in (".hea", ".mat"))
    )
    muse, dicom_file = muse_pairs()["synthetic_muse"]
    formats = shared / "formats"
    originals = (
        ("wfdb", record, 350),
        ("cinc", challenge, 100),
        ("zip", one(zipped("rec.dat", record[1].content, zipfile.ZIP_DEFLATED)), 100),
        ("edf", one(edf(signal, rate=100.0)), 300),
        ("ishne", one(ishne(signal, rate=100)), 250),
        ("csv", one(table(signal, head="# rate_hz: 100\n# unit: mV\n")), 250),
        ("muse", one(muse), 220),
        ("dicom", one(dicom_file), 200),
        ("scp", one((formats / "scp_example.scp").read_bytes()), 90),
        ("aecg", one((formats / "fda_aecg_subject1_0.xml").read_bytes()), 70),
        ("sierra", one((formats / "philips_sierra_1_04.xml").read_bytes()), 70),
    )  # fmt: skip
    assert sum(count for _, _, count in originals) == 2000
    outcomes, peak_mb = read_apart(Mutants(originals, seed=7))
    results = check(outcomes, peak_mb)
    assert len(outcomes) == 2000
    assert results["read"] < 1200  # the mutations bite
    assert len(results) >= 8


def _bombs() -> dict[str, tuple[FilePart, ...]]:
    muse, dicom_file = muse_pairs()["synthetic_muse"]
    bombs = {"large": one(bytes(MAX_FILE_BYTES + 1))}
    for root in ("RestingECG", "AnnotatedECG", "restingecgdata"):
        bombs |= {f"xml {name} {root}": one(xml) for name, xml in xml_bombs(root).items()}
    bombs |= {f"zip {name}": one(content) for name, content in zip_bombs().items()}
    bombs |= {f"dicom {name}": one(content) for name, content in _dicom_bombs(dicom_file).items()}
    bombs |= {f"scp {name}": one(content) for name, content in _scp_bombs().items()}
    bombs |= {f"edf {name}": one(content) for name, content in _edf_bombs().items()}
    bombs |= {f"text {name}": one(content) for name, content in _text_bombs(muse).items()}
    bombs |= {f"wfdb {name}": parts for name, parts in _wfdb_bombs().items()}
    whole = ishne(ecg(rate=100.0), rate=100)
    for place, value in ((10, -1), (10, 2**31 - 1), (14, -1), (14, 2**31 - 1), (156, -1), (272, 0)):
        form = "<h" if place > 100 else "<i"
        lying = bytearray(whole)
        struct.pack_into(form, lying, place, value)
        bombs[f"ishne {place} {value}"] = one(bytes(lying))
    return bombs


def _dicom_bombs(original: bytes) -> dict[str, bytes]:
    tiny = struct.pack("<HH2sH", 0x0009, 0x1001, b"LO", 0)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    items = struct.pack("<HH2sxxI", 0x0040, 0xB020, b"SQ", 8 * 100_000) + item * 100_000
    nested = struct.pack("<HH2sxxI", 0x0040, 0xB020, b"SQ", 0xFFFFFFFF)
    nested += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    samples = original.index(struct.pack("<HH2sHI", 0x003A, 0x0010, b"UL", 4, 5000))
    claims = bytearray(original)
    struct.pack_into("<I", claims, samples + 8, 2**31)
    bytewise = dicom(ecg())
    group = bytewise.WaveformSequence[0]
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 8, "SB"
    group.WaveformData, group.NumberOfWaveformSamples = bytes(12_000_000), 1_000_000
    return {
        "deflated": deflated_dicom(original, 200 << 20),
        "elements": dicom_elements(original, tiny * 500_000),
        "elements without a kind": dicom_elements(
            original, struct.pack("<HHI", 9, 0x1001, 0) * 500_000
        ),
        "items": dicom_elements(original, items),
        "items in disguise": dicom_elements(original, items.replace(b"SQ", b"UN")),
        "nested": dicom_elements(original, nested * 5000),
        "samples": bytes(claims),
        "bytes": written(bytewise),
        "meta": original[:132] + b"\2\0\2\1UI\0\0" * 1_000_000 + original[132:],
    }


def _scp_bombs() -> dict[str, bytes]:
    coded = struct.pack("<HHBB", 1000, 2000, 0, 0) + struct.pack("<H", 60_000) * 12 + bytes(720_000)
    small = struct.pack("<HHBB", 1000, 2000, 0, 0) + struct.pack("<H", 20_000) * 12 + bytes(240_000)
    default = struct.pack("<H", 19999)
    tables = struct.pack("<H", 60_000) + bytes(500_000)
    beats = struct.pack("<HHH", 1000, 500, 60_000) + bytes(14 * 60_000)
    return {
        "huffman": scp({2: default, 3: scp_leads(12, 480_000), 6: coded}),
        "claims": scp({2: default, 3: scp_leads(12, 2**32 - 1), 6: small}),
        "most": scp({2: default, 3: scp_leads(12, 41_000), 6: small}),
        "leads": scp({2: default, 3: scp_leads(255, 100_000), 6: small}),
        "beats": scp({3: scp_leads(12, 5000), 4: beats, 6: small[:100_000]}),
        "tables": scp({2: tables, 3: scp_leads(12, 5000), 6: small}),
    }  # fmt: skip


def _edf_bombs() -> dict[str, bytes]:
    whole: bytes = edf(ecg(rate=100.0), rate=100.0)

    def field(start: int, size: int, value: str) -> bytes:
        return whole[:start] + value.ljust(size).encode() + whole[start + size :]

    spr = 256 + 216 * 13
    notes = bytearray(field(236, 8, "10"))
    notes[spr + 8 * 12 : spr + 8 * 13] = b"700000  "
    return {
        "records": field(236, 8, "99999999"),
        "signals": field(252, 4, "9999"),
        "no signals": field(252, 4, "0"),
        "samples": field(spr, 8, "99999999"),
        "long": field(244, 8, "86400"),
        "endless": field(244, 8, "inf"),
        "nan": field(244, 8, "nan"),
        "short": field(244, 8, "1e-300"),
        "negative": field(236, 8, "-9"),
        "annotations": bytes(notes) + b"ab\x00" * 5_000_000,
    }


def _text_bombs(muse: bytes) -> dict[str, bytes]:
    start, end = muse.index(b"<WaveFormData>"), muse.index(b"</WaveFormData>")
    lead = muse[muse.index(b"<LeadData>") : muse.index(b"</LeadData>") + 11]
    place = muse.rindex(b"</Waveform>")
    bomb = lzw_bomb(60_000)
    import base64

    sierra = (
        '<restingecgdata><documentinfo><documenttype>SierraECG</documenttype><documentversion>1.04'
        '</documentversion></documentinfo><waveforms><parsedwaveforms dataencoding="Base64"'
        ' compression="XLI" samplespersecond="500" durationperchannel="10000" numberofleads="12"'
        f' leadlabels="{" ".join(LEADS)}">{base64.b64encode(bomb * 12).decode()}</parsedwaveforms>'
        "</waveforms></restingecgdata>"
    ).encode()  # fmt: skip
    names = ",".join(LEADS).encode()
    head = b"# rate_hz: 4000\n# unit: mV\n" + names + b"\n"
    row = b",".join([b"1"] * 12)
    return {
        "base64": muse[:start] + b"<WaveFormData>" + b"AAAA" * 3_500_000 + muse[end:],
        "leads": muse[:place] + lead * 300 + muse[place:],
        "xli": sierra,
        "rows": head + (row + b"\n") * 1_500_000,
        "line": head + b"1," * 15_000_000,
        "digits": head + b"9" * 30_000_000,
        "quote": head + b'"' + b"1,\n" * 5_000_000,
        "columns": b"# rate: 500\n# unit: mV\n" + b"I,II," * 1_000_000,
        "comments": b"# x\n" * 5_000_000,
        "plain": b"I,II\n" * 8_000_000,
        "wide": "\ufeffI,II\n".encode("utf-16-le") + "€".encode("utf-16-le") * 20_000_000,
        "returns": head + b"\r" * 30_000_000,
        "statements": b"# a: " + b"a:b," * 4000 + b"\n" + names + b"\n" + row,
        "matlab": matlab_bomb(),
    }


def _wfdb_bombs() -> dict[str, tuple[FilePart, ...]]:
    data = FilePart("a.dat", bytes(60 << 20))
    small = FilePart("a.dat", bytes(24_000))
    heads = {
        "samples": header("a 12 500 1000000000"),
        "channels": header("a 100000 500 5000", count=3000),
        "channels there": header("a 3000 500 5000", count=3000),
        "nothing": header("a 12 500 300000", "~ 0 1000(0)/mV 16 0 0 0 0"),
        "frames": header("a 12 500 5000", "a.dat 16x9999 1000(0)/mV 16 0 0 0 0"),
        "skew": header("a 12 500 5000", "a.dat 16:999999999 1000(0)/mV 16 0 0 0 0"),
        "offset": header("a 12 500 5000", "a.dat 16+999999999 1000(0)/mV 16 0 0 0 0"),
        "gain": header("a 12 500 1000", "a.dat 16 1e-300(0)/mV 16 0 0 0 0"),
        "segments": b"a/9999 12 500 5000\n" + b"b 1\n" * 9999,
        "rate": header("a 12 0.0000001 1000"),
        "flac": header("a 12 500 1000", "a.dat 516 1000(0)/mV 16 0 0 0 0"),
    }
    bombs: dict[str, tuple[FilePart, ...]] = {
        name: (FilePart("a.hea", head), small) for name, head in heads.items()
    }
    for form in (8, 16, 24, 32, 61, 80, 160, 212, 310, 311):
        line = f"a.dat {form} 1000(0)/mV 16 0 0 0 0"
        bombs[f"{form} open"] = (FilePart("a.hea", header("a 12 500", line)), data)
        bombs[f"{form} closed"] = (FilePart("a.hea", header("a 12 500 5000", line)), data)
    matlab = FilePart("a.mat", matlab_bomb())
    line = "a.mat 16+24 1000(0)/mV 16 0 0 0 0"
    bombs["matlab"] = (FilePart("a.hea", header("a 12 500 5000", line)), matlab)
    return bombs


def test_bombs_are_refused(tmp_path):
    outcomes, peak_mb = read_apart(save(tmp_path, _bombs()))
    check(outcomes, peak_mb)
    assert {o.name: o.result for o in outcomes if o.result == "read"} == {}
    reasons = {o.name: o.result for o in outcomes}
    assert reasons["large"] == "FILE_TOO_LARGE"
    assert reasons["zip deflated"] == reasons["zip bzip2"] == reasons["zip lzma"] == "ZIP_LIMIT"
    assert reasons["wfdb samples"] == reasons["edf records"] == reasons["edf long"] == "DURATION"
    assert reasons["ishne 14 2147483647"] == "DURATION"
    assert reasons["dicom deflated"] == "FILE_TOO_LARGE"
    assert reasons["text matlab"] == "MISSING_FILE"


def _longest(tmp_path) -> dict[str, tuple[FilePart, ...]]:
    """Ten minutes at 500 Hz, in every format that can hold them."""
    signal = np.tile(ecg(seconds=10.0), 60)
    aecg = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{lead.upper()}"/><value><origin value="0"'
        ' unit="uV"/><scale value="5" unit="uV"/><digits>'
        f"{' '.join(map(str, np.round(row * 200).astype(int).tolist()))}"
        "</digits></value></sequence></component>"
        for lead, row in zip(LEADS, signal, strict=True)
    )
    head = (
        '<AnnotatedECG><component><series><component><sequenceSet><component><sequence><code'
        ' code="TIME_ABSOLUTE"/><value><increment value="0.002" unit="s"/></value></sequence>'
        "</component>"
    )  # fmt: skip
    tail = "</sequenceSet></component></series></component></AnnotatedECG>"
    return {
        "wfdb": wfdb_record(tmp_path, signal),
        "edf": one(edf(signal)),
        "ishne": one(ishne(signal)),
        "csv": one(table(signal)),
        "dicom": one(written(dicom(signal))),
        "aecg": one(f"{head}{aecg}{tail}".encode()),
    }


@pytest.mark.parametrize("form", ["wfdb", "edf", "ishne", "csv", "dicom", "aecg"])
def test_ten_minutes_are_read_within_the_limits(form, longest):
    outcomes, peak_mb = read_apart(longest[form])
    assert check(outcomes, peak_mb) == {"read": 1}


@pytest.fixture(scope="module")
def longest(tmp_path_factory):
    """The longest recording of each format, in a folder of its own."""
    folder = tmp_path_factory.mktemp("longest")
    recordings = _longest(tmp_path_factory.mktemp("work"))
    return {name: save(folder / name, {name: parts}) for name, parts in recordings.items()}
