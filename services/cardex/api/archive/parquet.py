"""The results of an archive as one Parquet table, a row for each recording.

Parquet has its footer at the end, so a table that is cut off is lost. The results are therefore
kept as JSON lines, and the table is made of them, row group by row group, when all are there.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from cardex.api.archive.results import ANSWERED
from cardex.domain.errors import ConfigurationError

ROW_GROUP = 2_000


class _Line(msgspec.Struct):
    file: str


def require_pyarrow() -> None:
    """Check that Parquet can be written.

    Raises:
        ConfigurationError: if pyarrow is missing.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "Parquet needs pyarrow: pip install 'cardex[parquet]', or give --results a name that"
            " ends with .jsonl",
            reason="PYARROW_MISSING",
            field="results",
        ) from error


def write_table(lines: Path, table: Path) -> None:
    """Make a table of a results file; the old table is replaced when the new one is complete.

    Args:
        lines: the results; of several lines for one recording the last holds.
        table: the Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    part = table.with_name(table.name + ".part")
    rows = (_row(line) for line in _last_lines(lines))
    schema = _schema()
    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        while group := list(islice(rows, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema))
    part.replace(table)


def _last_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as stream:
        last = {
            msgspec.json.decode(line, type=_Line).file: number for number, line in enumerate(stream)
        }
        kept = set(last.values())
        stream.seek(0)
        for number, line in enumerate(stream):
            if number in kept:
                yield json.loads(line)


def _schema() -> Any:  # noqa: ANN401  pyarrow has no types
    import pyarrow as pa

    text, real, texts, reals = (
        pa.string(),
        pa.float64(),
        pa.list_(pa.string()),
        pa.list_(pa.float64()),
    )
    return pa.schema(
        {
            "file": text,
            "job_id": text,
            "state": text,
            "error_reason": text,
            "error_message": text,
            "error_field": text,
            "model_version": text,
            "index_name": text,
            "from_cache": pa.bool_(),
            "quality_index": real,
            "heart_rate_bpm": real,
            "warnings": texts,
            "warning_messages": texts,
            "finding_codes": texts,
            "finding_shares": reals,
            "prediction_codes": texts,
            "prediction_probabilities": reals,
            "hit_report_ids": texts,
            "hit_scores": reals,
            "hit_matches": reals,
            "hit_texts": texts,
            "draft": text,
        }
    )


def _row(line: dict[str, Any]) -> dict[str, Any]:
    head = {"file": line["file"], "job_id": line["job_id"] or None}
    if error := line.get("error"):
        state = "FAILED" if line["job_id"] else "REFUSED"
        return {**head, "state": state, **{f"error_{name}": error[name] for name in error}}
    return {**head, "state": ANSWERED, **_columns(line["answer"])}


def _columns(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer's columns; a field that the contract leaves out is its zero."""
    hits, findings = answer.get("hits", []), answer.get("findings", [])
    predictions, warnings = answer.get("predictions", []), answer.get("warnings", [])
    quality, draft = answer.get("signal_quality"), answer.get("draft")
    sentences = draft.get("sentences", []) if draft else []
    return {
        "model_version": answer.get("model_version", ""),
        "index_name": answer.get("index_name", ""),
        "from_cache": answer.get("from_cache", False),
        "quality_index": quality.get("index", 0.0) if quality is not None else None,
        "heart_rate_bpm": (quality or {}).get("heart_rate_bpm"),
        "warnings": [warning["code"] for warning in warnings],
        "warning_messages": [warning.get("message", "") for warning in warnings],
        "finding_codes": [finding["code"] for finding in findings],
        "finding_shares": [finding.get("share", 0.0) for finding in findings],
        "prediction_codes": [prediction["code"] for prediction in predictions],
        "prediction_probabilities": [item.get("probability", 0.0) for item in predictions],
        "hit_report_ids": [hit["report"].get("report_id", "") for hit in hits],
        "hit_scores": [hit.get("score", 0.0) for hit in hits],
        "hit_matches": [hit.get("match") for hit in hits],
        "hit_texts": [hit["report"].get("text", "") for hit in hits],
        "draft": " ".join(sentence["text"] for sentence in sentences) if draft else None,
    }
