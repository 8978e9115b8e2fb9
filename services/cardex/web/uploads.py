"""The files of one recording, as a form brings them."""

from typing import Annotated, Any

from fastapi import File, UploadFile

from cardex.api.pb.v1 import ecg_pb2
from cardex.domain.ecg import FilePart
from cardex.web.wire import encodable

FILE_SCHEMA: dict[str, Any] = {
    "type": "string",
    "contentMediaType": "application/octet-stream",
}

Files = Annotated[
    list[UploadFile],
    File(
        description="The ECG file; for WFDB the .hea and its signal files, or one zip.",
        json_schema_extra={"minItems": 1, "items": FILE_SCHEMA},
    ),
]


async def parts_of(files: list[UploadFile]) -> tuple[FilePart, ...]:
    """Read the files; a WFDB header, which names the others, goes first."""
    parts = [FilePart(encodable(file.filename or ""), await file.read()) for file in files]
    return tuple(sorted(parts, key=lambda part: not part.name.lower().endswith(".hea")))


async def ecg_of(files: list[UploadFile]) -> ecg_pb2.Ecg:
    """Return the files as the gateway takes them."""
    first, *rest = await parts_of(files)
    companions = [ecg_pb2.CompanionFile(name=part.name, content=part.content) for part in rest]
    file = ecg_pb2.ClinicalFile(name=first.name, content=first.content, companions=companions)
    return ecg_pb2.Ecg(file=file)
