"""Which parts of a form are chips, and their names; whole requests are in `test_uploads.py`."""

import io
import time

import httpx2
import pytest

from service.contract.errors import MalformedForm, NoChip
from service.server.forms import Form
from tests.kit.fakes import RED, encoded, picture
from tests.service.server.test_problems import assert_problem

RED_PNG = encoded(picture(RED), "PNG")
CONTENT_TYPE = "multipart/form-data; boundary=edge"


def part(disposition: str, content: bytes, content_type: str | None = None) -> bytes:
    head = f"--edge\r\nContent-Disposition: form-data; {disposition}\r\n"
    if content_type is not None:
        head += f"content-TYPE: {content_type}\r\n"
    return head.encode() + b"\r\n" + content + b"\r\n"


def chips(*parts: bytes, max_chips: int = 3, piece_bytes: int = 1 << 20) -> list[tuple[str | None, bytes]]:
    body = io.BytesIO(b"".join(parts) + b"--edge--\r\n")
    with Form(CONTENT_TYPE, max_chips) as form:
        while piece := body.read(piece_bytes):
            form.write(piece)
        return form.chips()


NAMELESS = [
    ("name=\"chip\"; filename*=utf-8''%C3%A7%C3%A3o.png", "image/png", "ção.png"),
    ("name=\"chip\"; filename*=utf-8''%C3%A7%C3%A3o.png", None, "ção.png"),
    ("name=\"chip\"; filename*=UTF-8'pt'%C3%A7%C3%A3o.png", "application/octet-stream", "ção.png"),
    ("filename*=iso-8859-1''%E7.png; name=chip", None, "ç.png"),
    ("name=\"chip\"; FileName*=utf-8''a.png", None, "a.png"),
    ('name="chip"; filename*0="long"; filename*1="er.png"', None, "longer.png"),
    ("name=\"chip\"; filename*0*=utf-8''%C3%A7; filename*1=.png", None, "ç.png"),
    ("name=\"chip\"; filename*=utf-16''%00%D8", None, None),
    ("name=\"chip\"; filename*=undefined''a.png", None, None),
    ("name=\"chip\"; filename*=a\0b''a.png", None, None),
    ('name="chip"', "image/png", None),
    ('name="chip"', "IMAGE/TIFF; x=y", None),
    ('name="chip"', "application/octet-stream", None),
]


@pytest.mark.parametrize(("disposition", "content_type", "name"), NAMELESS)
def test_a_file_without_a_filename_is_one_at_any_size(
    disposition: str, content_type: str | None, name: str | None
) -> None:
    for content in (b"", b"short", bytes(3 << 20)):
        (chip,) = chips(part(disposition, content, content_type), piece_bytes=100_000)
        assert chip[1] == content
        if name is not None or "utf-16" not in disposition:
            assert chip[0] == name
        assert chip[0] is None or chip[0].encode()


def test_the_plain_filename_is_the_one_that_counts() -> None:
    both = 'name="chip"; filename="plain.png"; filename*=utf-8\'\'other.png'
    assert chips(part(both, b"1")) == [("plain.png", b"1")]
    assert chips(part('name="chip"; filename=""', b"1")) == [("", b"1")]


@pytest.mark.parametrize("content", [b"", b"\x89PNG, but as a text", bytes(3 << 20)])
@pytest.mark.parametrize("content_type", [None, "text/plain", "text/plain; charset=utf-8"])
def test_a_chip_that_came_as_a_text_is_told_so(content: bytes, content_type: str | None) -> None:
    good = part('name="chip"; filename="a.png"', b"1")
    text = part('name="chip"', content, content_type)
    for parts in ((text,), (good, text), (text, good)):
        with pytest.raises(NoChip, match="`chip` of the form came as a text, without a `filename`"):
            chips(*parts)


def test_nameless_files_count_as_files() -> None:
    nameless = part('name="chip"', b"1", "image/png")
    assert len(chips(*[nameless] * 3)) == 3
    with pytest.raises(MalformedForm, match="more than 3 files"):
        chips(*[nameless] * 4)


def test_other_fields_are_counted_and_dropped() -> None:
    good = part('name="chip"; filename="a.png"', b"1")
    file, text = part('name="mask"; filename="m.png"', bytes(3 << 20)), part('name="note"', b"hello")
    assert chips(file, text, good) == [("a.png", b"1")]
    with pytest.raises(MalformedForm, match="more than 3 files"):
        chips(*[file] * 3, good)
    with pytest.raises(MalformedForm, match="more than 1000 fields of text"):
        chips(*[text] * 1001, good)
    with pytest.raises(MalformedForm, match="a field without a `filename` has more than 1048576 bytes"):
        chips(part('name="note"', bytes((1 << 20) + 1)), good)


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + 300 * "x"])
def test_a_form_needs_a_boundary(boundary: str) -> None:
    with pytest.raises(MalformedForm), Form(f"multipart/form-data{boundary}", 3) as form:
        form.write(part('name="chip"; filename="a.png"', b"1") + b"--edge--\r\n")
        form.chips()


def test_a_form_may_choose_among_the_character_sets_of_browsers() -> None:
    for charset, name in (
        ("windows-1251", "лес"),
        ("ISO-8859-15", "forêt €"),
        ("KOI8-R", "лес"),
        ("us-ascii", "a"),
    ):
        with Form(f"{CONTENT_TYPE}; charset={charset}", 3) as form:
            form.write(b'--edge\r\nContent-Disposition: form-data; name="chip"; filename="')
            form.write(name.encode(charset) + b'"\r\n\r\n1\r\n--edge--\r\n')
            assert form.chips() == [(name, b"1")]


@pytest.mark.parametrize(
    "charset", ["punycode", "idna", "utf-7", "unicode_escape", "rot13", "zip", "nothing"]
)
def test_a_character_set_costs_no_time(charset: str) -> None:
    """Of a thousand names as long as may be; what is no set of characters counts as Latin-1."""
    name = 4000 * "a"
    text = part(f'name="{name}"', b"1")
    extended = part(f"name=\"chip\"; filename*={charset}''{name}", b"1", "image/png")
    began_s = time.process_time()
    with Form(f"{CONTENT_TYPE}; charset={charset}", 3) as form:
        form.write(1000 * text + 3 * extended + b"--edge--\r\n")
        assert form.chips() == [(None, b"1")] * 3
    assert time.process_time() - began_s < 10


def test_names_and_their_absence_reach_the_answer(client: httpx2.Client) -> None:
    named = part("name=\"chip\"; filename*=utf-8''%E6%A3%AE.png", RED_PNG, "image/png")
    nameless = part('name="chip"', RED_PNG, "application/octet-stream")
    body = named + nameless + part('name="chip"', b"hello", "image/png") + b"--edge--\r\n"
    headers = {"content-type": CONTENT_TYPE}
    answer = client.post("/predict", content=body, headers=headers).json()["predictions"]
    assert [item["filename"] for item in answer] == ["森.png", None, None]
    assert [item.get("labels") for item in answer] == [["reddish"], ["reddish"], None]
    text = client.post("/preview", content=part('name="chip"', RED_PNG) + b"--edge--\r\n", headers=headers)
    assert "without a `filename`" in assert_problem(text, 400)["detail"]
