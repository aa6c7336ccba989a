"""Forms and headers that kept other parsers busy for minutes are answered in moments."""

import time

import httpx2
import pytest

from tests.service.server.test_problems import assert_problem

FORM = "multipart/form-data; boundary=edge"
PART = b'--edge\r\nContent-Disposition: form-data; name="chip"; filename="a"\r\n'
SIZE = 3 << 20  # below the limit of the tests' service


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"\r\n" * (SIZE // 2) + PART),  # CVE-2024-53981
        (FORM, PART + b"\r\n\r\n--edge--" + b"\r\n" * (SIZE // 2)),  # the same, after the end
        (FORM, PART + b"X: " + b"x" * SIZE),  # GHSA-pp6c-gr5w-3c5g
        (FORM, PART + b"X: x\r\n" * (SIZE // 6)),
        (f"multipart/form-data; boundary={'-' * 20_000}", b"-" * SIZE),  # CVE-2024-9056
        (f'multipart/form-data; !="{chr(92) * 20_000}', b""),  # CVE-2024-24762
        ("application/x-www-form-urlencoded", b"a;" * (SIZE // 2)),  # CVE-2026-53539
    ],
)
def test_a_form_that_is_hard_to_read_is_refused_at_once(
    client: httpx2.Client, content_type: str, body: bytes
) -> None:
    began_s = time.monotonic()
    answer = client.post("/predict", content=body, headers={"content-type": content_type})
    assert time.monotonic() - began_s < 30
    assert 400 <= answer.status_code < 500
    assert_problem(answer, answer.status_code)


def test_a_range_of_many_parts_is_answered_at_once(client: httpx2.Client) -> None:
    """CVE-2025-62727."""
    many = "bytes=" + ",".join(f"{n}-{n + 1}" for n in range(0, 3000, 2))
    began_s = time.monotonic()
    assert client.get("/", headers={"range": many}).status_code in (200, 206, 400, 416)
    assert time.monotonic() - began_s < 30
