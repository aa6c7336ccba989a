"""A `multipart/form-data` body, piece by piece → its chips, each in memory once; or its scene.

python-multipart finds the parts; here is which of them are wanted, what they are called and how
many there may be. Text and files in other fields are counted and dropped. Knows no requests.
"""

import encodings
import io
import logging
from collections.abc import Callable
from email.message import Message
from encodings.aliases import aliases
from typing import BinaryIO, NamedTuple, cast

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from service.client.files import printable
from service.contract.errors import MalformedForm, NoChip

logger = logging.getLogger("chipvote")

# UTF-8 and the single-byte sets of browsers (WHATWG, Encoding), by Python's names. Others that it
# knows take seconds for a thousand names (punycode), or are not of characters; and it never forgets
# a set that it was asked for.
_CHARSETS = frozenset(
    ["utf_8", "ascii", "latin_1", "cp866", "cp874", "koi8_r", "koi8_u", "mac_roman", "mac_cyrillic"]
    + [f"iso8859_{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)]
    + [f"cp125{page}" for page in range(9)]
)

FIELD = "chip"
MAX_TEXTS = 1000
MAX_TEXT_BYTES = 1 << 20


class File(NamedTuple):
    """One file as it came, and what it is called."""

    name: str | None
    data: BinaryIO


class Form:
    """One form. Close it, and what it holds is free, whoever still knows it."""

    def __init__(
        self,
        content_type: str,
        max_files: int,
        field: str = FIELD,
        keep: Callable[[], BinaryIO] = lambda: io.BytesIO(),
    ) -> None:
        """Prepare for a body with this header.

        Args:
            content_type: the header.
            max_files: most files, in whichever fields.
            field: of those that are wanted.
            keep: makes what each of them is written to.

        Raises:
            MalformedForm: the header names no boundary, or one that cannot be.
        """
        self._max_files, self._field, self._keep_in = max_files, field, keep
        self.files: list[File] = []
        self._files = self._texts = 0
        self._headers: dict[bytes, bytes] = {}
        self._key = self._value = b""
        self._into: BinaryIO | None = None  # a wanted file's bytes go there
        self._text_bytes = 0  # of the part that is being read, if it is a text
        self._is_text = self._closed = False
        _, parameters = parse_options_header(content_type)
        self._charset = _charset(parameters.get(b"charset", b"utf-8").decode("latin-1")) or "latin-1"
        if b"boundary" not in parameters:
            raise self._malformed("its content type names no boundary")
        try:
            self._parser = MultipartParser(
                parameters[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._on_key,
                    "on_header_value": self._on_value,
                    "on_header_end": self._on_header,
                    "on_headers_finished": self._start,
                    "on_part_data": self._keep,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise self._malformed("its boundary cannot be used") from error

    def write(self, chunk: bytes) -> None:
        """Take the next piece of the body.

        Raises:
            MalformedForm: this is no form, or one with too much in it.
            NoChip: a wanted file came as a text.
        """
        try:
            self._parser.write(chunk)
        except (FormParserError, UnicodeError) as error:
            logger.debug("a form was refused: %r", error)
            raise self._malformed("it is not written as its content type says") from error

    def end(self) -> None:
        """Note that all of the body has come.

        Raises:
            MalformedForm: the form has no end.
            NoChip: it has none of the wanted files.
        """
        if not self._closed:  # the parser alone would drop a last, cut file
            raise self._malformed("it ends before its closing boundary")
        if not self.files:
            field = self._field
            raise NoChip(f"the form has no file in its field `{field}`; send each {field} as one such file")

    def chips(self) -> list[tuple[str | None, bytes]]:
        """Return name and bytes of every chip of a form that keeps them in memory; see `end`."""
        self.end()
        return [(name, cast(io.BytesIO, data).getvalue()) for name, data in self.files]

    def __enter__(self) -> "Form":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.files:
            file.data.close()

    def _begin(self) -> None:
        self._headers = {}

    def _on_key(self, data: bytes, start: int, end: int) -> None:
        self._key += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._key.lower()] = self._value
        self._key = self._value = b""

    def _start(self) -> None:
        """Decide what a part is, by its headers."""
        disposition = self._headers.get(b"content-disposition", b"")
        _, parameters = parse_options_header(disposition)
        if b"name" not in parameters:
            raise self._malformed("a part's Content-Disposition has no name")
        is_wanted = _decoded(parameters[b"name"], self._charset) == self._field
        self._into, self._is_text, self._text_bytes = None, False, 0
        name: str | None = None
        if b"filename" in parameters:
            name = printable(_decoded(parameters[b"filename"], self._charset))
        elif is_wanted and _looks_like_file(self._headers):
            name = _extended_name(disposition)
        elif is_wanted:
            field = self._field
            raise NoChip(
                f"a part `{field}` of the form came as a text, without a `filename`; send each {field} as a "
                f'file: Content-Disposition: form-data; name="{field}"; filename="{field}.png"'
            )
        else:
            self._is_text = True
            self._texts += 1
            if self._texts > MAX_TEXTS:
                raise self._malformed(f"it has more than {MAX_TEXTS} fields of text")
            return
        self._files += 1
        if self._files > self._max_files:
            raise self._malformed(f"it has more than {self._max_files} files")
        if is_wanted:
            self._into = self._keep_in()
            self.files.append(File(name, self._into))

    def _keep(self, data: bytes, start: int, end: int) -> None:
        if self._into is not None:
            self._into.write(memoryview(data)[start:end])
        elif self._is_text:
            self._text_bytes += end - start
            if self._text_bytes > MAX_TEXT_BYTES:
                raise self._malformed(f"a field without a `filename` has more than {MAX_TEXT_BYTES} bytes")

    def _end(self) -> None:
        self._closed = True

    def _malformed(self, reason: str) -> MalformedForm:
        return MalformedForm(
            f"the form cannot be read: {reason}; at most {self._max_files} files, each in the field "
            f"`{self._field}`"
        )


def _charset(name: str) -> str | None:
    """Return Python's name of a character set; None if names may not be written in it."""
    key = encodings.normalize_encoding(name).lower()
    module = aliases.get(key, key)
    return module if module in _CHARSETS else None


def _decoded(name: bytes, charset: str) -> str:
    try:
        return name.decode(charset)
    except UnicodeDecodeError:
        return name.decode("latin-1")


def _looks_like_file(headers: dict[bytes, bytes]) -> bool:
    """Tell whether a part without a `filename` is a file all the same.

    Some clients spell a name beyond ASCII as `filename*` alone (RFC 7578 has it only as
    `filename`), others send bytes without any name and say by their type that they are no text.
    """
    kind, _ = parse_options_header(headers.get(b"content-type"))
    if kind.startswith(b"image/") or kind == b"application/octet-stream":
        return True
    return b"filename*" in headers[b"content-disposition"].lower()


def _extended_name(disposition: bytes) -> str | None:
    """Read a `filename*` (RFC 5987, RFC 2231); None if there is none that can be read."""
    message = Message()
    message["content-disposition"] = disposition.decode("latin-1")
    name = message.get_param("filename", header="content-disposition")
    if isinstance(name, tuple):  # character set, language, and bytes as if they were Latin-1
        charset = _charset(name[0] or "us-ascii")
        name = name[2].encode("latin-1", "replace").decode(charset, "replace") if charset else None
    return None if name is None else printable(name)
