"""A web server on 127.0.0.1 that can misbehave in the ways that networks do."""

from __future__ import annotations

import contextlib
import http.server
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """How a path is answered.

    Attributes:
        body: the file.
        ranges: whether ``Range`` is honoured.
        stop_after: bytes of the body that are sent before the connection ends, once an element; then whole answers.
        reset: whether it ends with a reset rather than in good order.
        status: an error status, once an element; then 200 and 206.
        redirect: where to go instead.
        shifted: whether partial answers come from another place than was asked for.
        announce: whether ``Content-Length`` is sent; a text is sent in its place.
        stall: seconds to wait before the body is sent.
        headers: sent beside those.
    """

    body: bytes = b""
    ranges: bool = True
    stop_after: list[int] = field(default_factory=list)
    reset: bool = False
    status: list[int] = field(default_factory=list)
    redirect: str = ""
    shifted: bool = False
    announce: bool | str = True
    stall: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


class Loopback:
    """The server: ``answers`` by path, ``requests`` as ``(path, Range header or "")`` in the order that they came."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str]] = []
        self.url = ""

    def add(self, path: str, body: bytes = b"", **how: Any) -> str:
        """Answer ``path`` in a certain way; returns its address."""
        self.answers[path] = Answer(body, **how)
        return self.url + path


@contextlib.contextmanager
def serve() -> Iterator[Loopback]:
    """Run a :class:`Loopback` on a free port of 127.0.0.1 until the block ends."""
    state = Loopback()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.requests.append((self.path, wanted))
            bare = self.path.partition("?")[0]
            answer = state.answers.get(self.path) or state.answers.get(bare, Answer(status=[404] * 99))
            if answer.redirect:
                self.send_response(302)
                self.send_header("Location", answer.redirect)
                self.end_headers()
                return
            if answer.status:
                self.send_response(answer.status.pop(0))
                for header, value in answer.headers.items():
                    self.send_header(header, value)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and answer.ranges else 0
            if start and start >= len(answer.body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(answer.body)}")
                self.end_headers()
                return
            if answer.shifted and start:
                start -= 1
            body = answer.body[start:]
            self.send_response(206 if wanted and answer.ranges else 200)
            if wanted and answer.ranges:
                self.send_header("Content-Range", f"bytes {start}-{len(answer.body) - 1}/{len(answer.body)}")
            if answer.announce:
                self.send_header("Content-Length", str(len(body)) if answer.announce is True else answer.announce)
            for header, value in answer.headers.items():
                self.send_header(header, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.flush()
            time.sleep(answer.stall)
            if answer.stop_after:
                self.wfile.write(body[: answer.stop_after.pop(0)])
                self.wfile.flush()
                if answer.reset:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                return
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
