"""An S3 bucket and plain HTTP on the loopback: a folder's files, whole or in part."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.kit.serving import standing_in

CLOSED = ".closed"  # a file that has the store refuse everything
PAGE = 7  # keys in one answer, so that lists have several


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder at /bucket/; yield the address before that."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {key: value[0] for key, value in parse_qs(parts.query).items()}
            if self.command == "HEAD" and "signature" in query:  # that was given for GET
                return self.answer(403, b"", "application/xml")
            if (folder / CLOSED).exists():
                return self.answer(403, b"<Error><Code>ExpiredToken</Code></Error>", "application/xml")
            key = unquote(parts.path).removeprefix("/bucket").lstrip("/")
            if "list-type" in query:
                return self.answer(200, listing(folder, query).encode(), "application/xml")
            file = folder / key
            if not file.is_file():
                return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")
            data, asked = file.read_bytes(), re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if not asked:
                return self.answer(200, data, "image/png")
            first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
            span = f"bytes {first}-{last}/{len(data)}"
            self.answer(206, data[first : last + 1], "image/png", {"Content-Range": span})

        def answer(self, status: int, data: bytes, kind: str, more: dict[str, str] | None = None) -> None:
            self.send_response(status)
            headers = {"Content-Type": kind, "Content-Length": str(len(data)), "ETag": '"x"', **(more or {})}
            headers["Last-Modified"] = "Mon, 30 Nov 2026 12:00:00 GMT"
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with standing_in(Handler) as address:
        yield address


def listing(folder: Path, query: dict[str, str]) -> str:
    """Answer ListObjectsV2."""
    after = query.get("continuation-token", query.get("start-after", ""))
    keys = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    left = [key for key in keys if key.startswith(query.get("prefix", "")) and key > after]
    page, more = left[:PAGE], len(left) > PAGE
    entries = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-30T12:00:00.000Z</LastModified>"
        f"<ETag>x</ETag><Size>{(folder / key).stat().st_size}</Size></Contents>"
        for key in page
    )
    token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
    )
