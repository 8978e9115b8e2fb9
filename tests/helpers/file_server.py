"""A web server of files that breaks off, stalls and lies where a test says so."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

DROP, STALL, WRONG, BUSY, GONE, IGNORE_RANGE, ANOTHER_RANGE = (
    "drop", "stall", "wrong", "busy", "gone", "ignore range", "another range"
)  # fmt: skip


class FileServer(ThreadingHTTPServer):
    """Serves files over connections that are kept.

    Attributes:
        files: path to content.
        troubles: path to what goes wrong at its next requests, one for each.
        always: path to what goes wrong at each.
        asked: path and range of every request.
        connections: how many there were.
        go_on: stalled answers wait for it.
        stalled: is set when an answer stalls.
    """

    daemon_threads = True

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = dict(files)
        self.troubles: dict[str, list[str]] = defaultdict(list)
        self.always: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.connections = 0
        self.go_on = threading.Event()
        self.stalled = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files/"

    def ranges(self, path: str) -> list[str]:
        """Return the ranges that a path was asked for, "" for the whole."""
        return [wanted for asked, wanted in self.asked if asked == path]

    def handle_error(self, request, client_address):
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def setup(self):
        super().setup()
        self.server.connections += 1

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = unquote(self.path).removeprefix("/files/")
        wanted = self.headers.get("range", "")
        self.server.asked.append((path, wanted))
        left = self.server.troubles[path]
        trouble = left.pop(0) if left else self.server.always.get(path, "")
        content = self.server.files.get(path)
        if content is None or trouble == GONE:
            self._answer(404, b"no such file")
        elif trouble == BUSY:
            self._answer(503, b"", {"Retry-After": "0"})
        else:
            self._send(content, wanted, trouble)

    def _send(self, content: bytes, wanted: str, trouble: str) -> None:
        if trouble == WRONG:
            content = b"x" * len(content)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if trouble == IGNORE_RANGE:
            start = 0
        elif start >= len(content) > 0 and wanted:
            self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        headers, status = {}, 200
        if wanted and trouble != IGNORE_RANGE:
            status = 206
            told = 0 if trouble == ANOTHER_RANGE else start
            headers["Content-Range"] = f"bytes {told}-{len(content) - 1}/{len(content)}"
        rest = content[start:]
        half = len(rest) // 2
        self._answer(status, rest if trouble not in (DROP, STALL) else None, headers, len(rest))
        if trouble in (DROP, STALL):
            self.wfile.write(rest[:half])
            self.close_connection = True
        if trouble == STALL:
            self.server.stalled.set()
            self.server.go_on.wait()

    def _answer(self, status, body=None, headers=None, length=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if body:
            self.wfile.write(body)


@contextmanager
def file_server(files: Mapping[str, bytes]) -> Iterator[FileServer]:
    """Serve files on a free port."""
    server = FileServer(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
