"""The page: its files, read once at the start, and what browsers may do with them."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parent / "page"
INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'",
        "img-src 'self' data: blob:", "connect-src 'self'", "font-src 'self'",
        "manifest-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        "require-trusted-types-for 'script'", "trusted-types 'none'",
    )
)  # fmt: skip
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page.

    Attributes:
        content: its bytes.
        media_type: as browsers are told it.
        etag: changes with the content.
    """

    content: bytes = field(repr=False)
    media_type: str
    etag: str


def page_files(folder: Path) -> dict[str, PageFile]:
    """Read the files of a folder and those below, by their path in it.

    Only files of the types that a page has are read, and none whose name begins with a dot. A
    request is looked up among these names, so its path never reaches the file system.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.suffix in TYPES and path.is_file() and not hidden:
            content = path.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[name.as_posix()] = PageFile(content, TYPES[path.suffix], etag)
    return found


def page_router(folder: Path) -> APIRouter:
    """Return the routes of the page whose files lie in a folder."""
    files = page_files(folder)
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def index(request: Request) -> Response:
        """Return the page."""
        return _answer(request, files.get(INDEX))

    @router.get("/page/{name:path}")
    async def file(request: Request, name: str) -> Response:
        """Return one of its files."""
        return _answer(request, files.get(name) if name != INDEX else None)

    return router


def _answer(request: Request, file: PageFile | None) -> Response:
    if file is None:
        raise HTTPException(404, "the page has no such file")
    headers = {**HEADERS, "ETag": file.etag}
    if _has(request.headers.get("if-none-match", ""), file.etag):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _has(known: str, etag: str) -> bool:
    """Tell whether a browser has the file; If-None-Match compares weakly."""
    return etag in (tag.strip().removeprefix("W/") for tag in known.split(","))
