"""ECGs to try: those that came with the demo's data."""

import zipfile
from io import BytesIO
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from cardex.api.recordings import recordings
from cardex.web.credentials import Credentials
from cardex.web.errors import refusals
from cardex.web.gateway import info_of

router = APIRouter(prefix="/v1/examples", tags=["ECGs"])
FOLDER = Path("data") / "cpsc_2018"
"""Where the demo keeps its ECGs, below the data folder."""
SOURCE = "CPSC 2018"


class Example(BaseModel):
    """One ECG to try."""

    id: str
    name: str


class Examples(BaseModel):
    """All of them; none where the demo has never run on this machine."""

    examples: list[Example]


@router.get("", responses=refusals(401, 403, 413, 500, 503, 504))
async def list_examples(request: Request, credentials: Credentials) -> Examples:
    """List the ECGs that came with the demo's data."""
    await info_of(request, credentials)
    found = await run_in_threadpool(_found, request.app.state.settings.data_dir)
    return Examples(examples=[Example(id=key, name=f"{SOURCE}, {key}") for key in found])


@router.get(
    "/{example_id}",
    response_class=Response,
    responses={
        200: {"content": {"application/zip": {}}},
        **refusals(401, 403, 404, 413, 422, 500, 503, 504),
    },
)
async def get_example(request: Request, credentials: Credentials, example_id: str) -> Response:
    """Return one of them as a zip, which /v1/ecgs:retrieve takes as a file."""
    await info_of(request, credentials)
    content = await run_in_threadpool(_zipped, request.app.state.settings.data_dir, example_id)
    if content is None:
        raise HTTPException(404, "no such example: GET /v1/examples lists them")
    return Response(content, media_type="application/zip")


def _zipped(data_dir: Path, example_id: str) -> bytes | None:
    """Return a recording as a zip, None where there is no such one."""
    files = _found(data_dir).get(example_id)
    if files is None:
        return None
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.name)
    return content.getvalue()


def _found(data_dir: Path) -> dict[str, list[Path]]:
    """Return the files of each example by its id.

    An id is looked up among the names that are there and never made a path; links are left out, so
    that nothing outside of the folder is shown.
    """
    folder = data_dir / FOLDER
    if not folder.is_dir() or folder.is_symlink():
        return {}
    found = (files for files in recordings([folder]) if not any(f.is_symlink() for f in files))
    return {files[0].stem: files for files in found}
