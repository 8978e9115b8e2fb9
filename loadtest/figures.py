"""What the pages state of speed: tables of `loadtest/results`, written into them by a command."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from loadtest.report import RESULTS

NOT_YET = "No run has been kept."


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        label: its first cell.
        cells: the others, in which `%(name of a figure).1f` stands for a figure.
    """

    label: str
    cells: tuple[str, ...]


def row(label: str, *cells: str) -> Row:
    """Return a row."""
    return Row(label, cells)


WHOLE_WAY = (
    row("encoder alone in ONNX Runtime, all cores", "%(bare encoder, images/s).0f images/s", ""),
    row("ideal monolith", "%(monolith, records/s).0f records/s", ""),
    row("whole way, submission to answer, ECGs of 5 s at 500 Hz",
        "%(whole way, records/s).0f records/s", ""),
    row("whole way over monolith", "%(whole way over monolith).2f", "0.75"),
    row("whole way over encoder alone", "%(whole way over bare encoder).2f", ""),
    row("CPU time a record outside Triton", "%(outside Triton, core-ms a record).1f core-ms",
        "3.5 core-ms"),
    row("`Retrieve`, one ECG, idle",
        "p50 %(Retrieve idle p50 ms).0f ms, p99 %(Retrieve idle p99 ms).0f ms", "p50 20 ms"),
    row("of it beyond reading, cleaning, drawing and inference",
        "p50 %(Retrieve overhead p50 ms).1f ms, p99 %(Retrieve overhead p99 ms).0f ms",
        "p50 10 ms"),
    row("`Retrieve` of a known ECG",
        "p50 %(Retrieve cached p50 ms).1f ms, p99 %(Retrieve cached p99 ms).1f ms", "p50 1.5 ms"),
    row("known ECGs, 32 clients, one gateway",
        "%(Retrieve cached, answers/s).0f answers/s", "1500 answers/s"),
    row("mean batch of Triton's STAT instance, 32 clients with one ECG each",
        "%(Triton mean batch, 32 clients).1f", "4"),
)  # fmt: skip
PROCESSES = tuple(
    row(process, f"%(core-ms a record: {process}).2f")
    for process in ("triton", "worker-routine-1", "worker-routine-2", "gateway", "state", "client",
                    "cache", "milvus", "worker-stat", "web")
)  # fmt: skip
STEPS = (
    *(
        row(step, f"%(monolith, core-ms: {step}).2f")
        for step in ("read", "clean", "encode", "inference", "search", "findings, draft, encoding")
    ),
    row("all", "%(monolith, core-ms a record).2f"),
)
MIXED = (
    *(
        row(words, f"%(alone: {name}).0f ms", f"%(beside the import: {name}).0f ms")
        for words, name in (
            ("p50", "p50 ms"), ("p95", "p95 ms"), ("p99", "p99 ms"), ("slowest", "slowest ms"),
            ("of the p50: waiting for a worker", "queue p50 ms"),
            ("inference", "inference p50 ms"), ("no stage", "the rest p50 ms"),
        )
    ),
    row("refused", "%(alone: refused).0f", "%(beside the import: refused).0f"),
    row("p99 beside the import over p99 alone", "",
        "%(p99 beside the import over p99 alone).2f (aim 2)"),
    row("the import", "", "%(import, records/s).0f records/s"),
)  # fmt: skip
ARCHIVE = (
    row("throughput", "%(records/s).0f records/s", ""),
    row("throughput of the last tenth over the second tenth",
        "%(records/s, last tenth over second tenth).2f", "0.9"),
    row("refused", "%(refused).0f", "0"),
    row("slope of the gateway's memory over the second half",
        "%(slope of the gateway's memory, % of it).2f %%", "1 %%"),
    row("slope of the routine workers' memory",
        "%(slope of the routine workers' memory, % of it).2f %%", "1 %%"),
    row("most that the state store held", "%(most that the state store held, MB).0f MB", ""),
    row("oldest job", "%(oldest job, s).0f s", ""),
)  # fmt: skip
SPIKE = (
    row("bedside ECGs within a second", "%(bedside ECGs).0f"),
    row("until the last answer", "%(seconds until the last answer).1f s"),
    row("answers/s", "%(answers/s).0f"),
    row("p50", "%(spike: p50 ms).0f ms"),
    row("refused", "%(spike: refused).0f"),
)
KILLS = (
    row("recordings", "%(recordings).0f", ""),
    row("without an answer", "%(without an answer).0f", "0"),
    row("answered twice", "%(answered twice).0f", "0"),
    row("jobs beyond one a recording", "%(jobs beyond one a recording).0f", "0"),
    row("throughput, restarts included", "%(records/s).0f records/s", ""),
)
PARTITIONS = (
    row("runs in a row, each with every fault in an order of its own", "%(runs).0f", "20"),
    row("acknowledged jobs", "%(jobs).0f", ""),
    row("bedside ECGs that were answered meanwhile", "%(bedside ECGs answered meanwhile).0f", ""),
    row("jobs that were lost", "%(lost).0f", "0"),
    row("jobs that ended twice", "%(ended twice).0f", "0"),
    row("times that the health service was wrong", "%(health was wrong).0f", "0"),
)
README = (
    row("whole way, submission to answer, ECGs of 5 s at 500 Hz",
        "%(whole way, records/s).0f records/s", "`make bench`"),
    row("the same over two plain processes that do the same work without queue, network or"
        " durability", "%(whole way over monolith).2f", "the same"),
    row("`Retrieve` of one ECG, idle, p50", "%(Retrieve idle p50 ms).0f ms", "the same"),
    row("`Retrieve` of an ECG that was asked before, p50", "%(Retrieve cached p50 ms).1f ms",
        "the same"),
)  # fmt: skip
BEDSIDE = (
    row("bedside ECGs beside a full import, p99",
        "%(beside the import: p99 ms).0f ms, alone %(alone: p99 ms).0f ms", "`make load`"),
)  # fmt: skip
PEERS = tuple(
    row(way, *(
        f"%({kind}, {way}, records/s).0f (%({kind}, {way}, over Cardex).2f)"
        for kind in ("typed", "WFDB", "DICOM")
    ), f"%(typed, {way}, core-ms).1f")
    for way in ("Cardex", "LitServe", "BentoML", "FastAPI", "Celery, a task a record")
)  # fmt: skip
CEILING = (
    row("records/s", "%(records/s, with the encoder).0f", "%(records/s, without).0f (aim 600)"),
    *(
        row(f"{part}, core-ms", f"%({part}, core-ms, with the encoder).2f",
            f"%({part}, core-ms, without).2f")
        for part in ("worker-routine-1", "worker-routine-2", "gateway", "state", "triton", "client")
    ),
)  # fmt: skip
WAYS_TO_ASK = tuple(
    row(way, f"%({way}: p50 ms).1f ms", f"%({way}: p99 ms).0f ms", over)
    for way, over in (
        ("REPORT", "1"),
        *(
            (way, f"%(p50 of {way} over that of REPORT).2f")
            for way in ("ECG", "BOTH", "BOTH, women of 40 to 60", "BOTH, one case in 500")
        ),
    )
)
PAGE = (
    row("draw 12 leads of 10 s, longest", "%(draw 12 leads of 10 s, longest, ms).1f ms", "50 ms"),
    row("answer drawn after its response, longest",
        "%(answer drawn after its response, longest, ms).0f ms", "300 ms"),
    row("frames a second while the calipers move",
        "%(frames a second while the calipers move).0f", "60"),
)  # fmt: skip
LOADS = (10, 100, 1_000, 10_000)
CASES = ("1e5", "1e6", "1e7", "1e8", "1e9")
KINDS = {
    "state stores": "state stores", "gateway": "gateway pods", "stat": "STAT workers",
    "routine": "routine workers", "triton": "Triton pods", "query": "query nodes of 2 cores",
    "p99 ms": "p99 of bedside ECGs, ms",
}  # fmt: skip
COMPARED = tuple(
    row(f"{workers}, {load}: {figure}", *(
        f"%({workers}, {load}: {figure}, {side}).3g"
        for side in ("real", "simulated", "simulated over real")
    ))
    for workers in ("1 routine worker", "2 routine workers")
    for load, told in (
        *((share, ("records/s", "p50 ms", "p99 ms")) for share in ("30%", "60%", "85%")),
        ("as fast as it goes", ("records/s",)),
    )
    for figure in told
)  # fmt: skip
SIZES = (100_000, 1_000_000)
SEARCHED = ("recall@10", "p50 of one, ms", "p99 of one, ms", "p50 of 32, ms", "p99 of 32, ms")


def table(head: Sequence[str], rows: Sequence[Row], figures: Mapping[str, float]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head)]
    lines += [[row.label, *(cell % figures for cell in row.cells)] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def kept(name: str) -> tuple[str, Mapping[str, float]] | None:
    """Return when and where a benchmark ran, and its figures; None where no run was kept."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_bytes())
    return f"{found['date']}, {found['machine']}", found["figures"]


def block(name: str, command: str, head: Sequence[str], rows: Sequence[Row]) -> str:
    """Return a table of one benchmark, under the command, date and machine."""
    found = kept(name)
    if found is None:
        return NOT_YET
    where, figures = found
    return f"`{command}`, {where}:\n\n{table(head, rows, figures)}"


def search_block() -> str:
    """Return a table of all that was searched, of every size that was measured."""
    parts = []
    for size in SIZES:
        found = kept(f"bench-search-{size}")
        if found is None:
            parts.append(f"{size:,} reports: not measured.")
            continue
        where, figures = found
        ways = [name.removesuffix(": recall@10") for name in figures if name.endswith("recall@10")]
        rows = [row(way, *(f"%({way}: {figure}).3g" for figure in SEARCHED)) for way in ways]
        parts.append(
            f"{size:,} reports, `make bench-search`, {where};"
            f" {figures['stored: reports/s']:.0f} reports/s stored, ready to answer"
            f" {figures['from the last report to the first answer: s']:.0f} s after the last:\n\n"
            + table(("index, search", *SEARCHED), rows, figures)
        )
    return "\n\n".join(parts)


def growth_block() -> str:
    """Return what becomes short first, and what is needed, by load and by size of the index."""
    found = kept("capacity-growth")
    if found is None:
        return NOT_YET
    where, figures = found
    short = [
        row(f"%({cases} cases: memory of IVF_FLAT, GB).3g GB", *(
            _short(figures, load, cases) for load in LOADS
        ))
        for cases in CASES
    ]  # fmt: skip
    names = [row(f"{cases} cases, {each.label % figures}", *each.cells)
             for cases, each in zip(CASES, short, strict=True)]  # fmt: skip
    counts = [
        row(words, *(f"%({load} ECG/s{gpu}: {kind}).0f" for load in LOADS))
        for gpu, how in (("", "CPU"), (", GPU", "GPU"))
        for kind, name in KINDS.items()
        for words in (f"{name} ({how})",)
    ]
    nodes = [
        row(f"{cases} cases, {kind.strip(', ') or 'IVF_FLAT'}", *(
            f"%({cases} cases, {load} ECG/s: query nodes{kind}).0f" for load in LOADS
        ))
        for cases in CASES
        for kind in ("", ", IVF_SQ8")
    ]  # fmt: skip
    loads = [f"{load:,} ECG/s" for load in LOADS]
    return "\n\n".join(
        (
            f"`python -m loadtest.capacity growth`, {where}. Short first, as shipped:",
            table(("index", *loads), names, figures),
            "Needed, with a million reports in Milvus, as simulated:",
            table(("", *loads), counts, figures),
            "Query nodes of 16 cores and 64 GB, by size of the index, as extrapolated:",
            table(("", *loads), nodes, figures),
        )
    )


def _short(figures: Mapping[str, float], load: int, cases: str) -> str:
    """Return what is short at a load and a size, with the ECGs/s from which on; - if nothing."""
    limits = {
        name.removeprefix("limit: ").removesuffix(", ECG/s"): rate
        for name, rate in figures.items()
        if name.startswith("limit: ")
    }
    limits["Milvus"] = figures[f"{cases} cases: one query node, ECG/s"]
    over = sorted((rate, name) for name, rate in limits.items() if rate < load)
    return ", ".join(f"{name} ({rate:,.0f})" for rate, name in over) or "-"


def readme_block() -> str:
    """Return the figures that the README states."""
    whole, beside = kept("bench"), kept("load-mixed")
    assert whole is not None
    assert beside is not None
    rows = [
        table(("figure", "measured", "command"), README, whole[1]),
        table(("", "", ""), BEDSIDE, beside[1]).splitlines()[-1],
    ]
    return (
        "\n".join(rows)
        + f"\n\nEverything on one machine, no GPU: {whole[0]}; beside an import {beside[0]}."
    )


MEASURED = ("figure", "measured", "aim")
BLOCKS: Mapping[str, Callable[[], str]] = {
    "whole-way": partial(block, "bench", "make bench", MEASURED, WHOLE_WAY),
    "processes": partial(block, "bench", "make bench", ("process", "core-ms a record"), PROCESSES),
    "steps": partial(block, "bench", "make bench", ("step", "core-ms a record"), STEPS),
    "mixed": partial(
        block, "load-mixed", "make load", ("", "alone", "beside the import"), MIXED
    ),
    "archive": partial(block, "load-archive", "make load PROFILE=archive", MEASURED, ARCHIVE),
    "soak": partial(block, "load-soak", "make load PROFILE=soak", MEASURED, ARCHIVE),
    "spike": partial(block, "load-spike", "make load PROFILE=spike", ("", "measured"), SPIKE),
    "kills": partial(block, "bench-kills", "make bench-kills", MEASURED, KILLS),
    "partitions": partial(
        block, "bench-partitions", "make bench-partitions", MEASURED, PARTITIONS
    ),
    "peers": partial(
        block, "bench-peers", "make bench-peers",
        ("", "typed", "WFDB", "DICOM", "core-ms a typed record"), PEERS,
    ),
    "ceiling": partial(
        block, "bench-ceiling", "make bench-ceiling", ("", "with the encoder", "without"), CEILING
    ),
    "search": search_block,
    "page": partial(block, "bench-page", "make bench-page", MEASURED, PAGE),
    "speed-of-cases": partial(
        block, "bench-cases", "make bench-cases",
        ("`Retrieve`, one ECG", "p50", "p99", "p50 over that of REPORT"), WAYS_TO_ASK,
    ),
    "capacity-growth": growth_block,
    "capacity-check": partial(
        block, "capacity-check", "make bench-capacity",
        ("", "real", "simulated", "simulated over real"), COMPARED,
    ),
    "speed": readme_block,
}  # fmt: skip
"""What writes each block of the pages, by its name."""
