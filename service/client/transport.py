"""One request to a service and its answer: how to reach it, how long to try, what may come back.

For the client. Knows HTTP, addresses and problems; nothing of chips.
"""

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import anyio
import httpx2

from .schemas import Problem

BUSY = (429, 502, 503, 504)  # the service when it is full, and what proxies say while it restarts
_LONGEST_WAIT_S = 10.0
_REPEATS_TO_A_STRANGER = 3  # that takes requests and has answered none: a service that dies, or no service
_BYTES = {"Content-Type": "application/octet-stream"}


class ChipvoteError(Exception):
    """Raised when the service cannot be used at all; its text says why, and the fix.

    Attributes:
        problem: how the service put it; None where nothing that was a problem came.
    """

    def __init__(self, message: str, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.problem = problem


class Exchange:
    """A service at one address."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        timeout_s: float,
        connections: int,
        patience_s: float,
        deadline_s: float | None = None,
    ) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            ValueError: the address is none, or the key cannot be one.
        """
        try:
            base = httpx2.URL(url if url.endswith("/") else f"{url}/")
        except httpx2.InvalidURL as error:
            raise ValueError(
                f"{url!r} is no address ({error}); give one like http://127.0.0.1:8000"
            ) from error
        if base.scheme not in ("http", "https") or not base.host or base.query or base.fragment:
            raise ValueError(f"{url!r} is no address of a service; give one like http://127.0.0.1:8000")
        if key and not (key.isascii() and key.isprintable()):
            raise ValueError("the key has characters that no header can carry; is there a line's end in it?")
        if key and base.userinfo:
            raise ValueError("give a key or a user in the address, not both")
        self._shown, self._timeout_s, self._patience_s = _shown(base), timeout_s, patience_s
        self._options: dict[str, Any] = {
            "base_url": base,
            "headers": ({"Authorization": f"Bearer {key}"} if key else {})
            | ({"Prefer": f"wait={deadline_s:.0f}"} if deadline_s else {}),
            "timeout": httpx2.Timeout(timeout_s, pool=None),  # waiting for one's turn is no failure
            "limits": httpx2.Limits(max_connections=connections),
        }
        self._reached = False  # an address that never answered is wrong; one that did may come back

    def open(self) -> httpx2.AsyncClient:
        """Return the connections that `post` uses."""
        return httpx2.AsyncClient(**self._options)

    def ask(self, method: str, path: str, query: Mapping[str, str | float] | None = None) -> Any:  # noqa: ANN401
        """Return what the service says to a request without a body.

        Raises:
            ChipvoteError: the service cannot be used.
        """
        try:
            with httpx2.Client(**self._options) as http:
                response = http.request(method, path, params=query)
        except httpx2.RequestError as error:
            raise self._unreachable(error) from error
        self._reached = True
        if not response.is_success:
            raise self.unusable(response)
        return self.json(response)

    async def post(
        self,
        http: httpx2.AsyncClient,
        path: str,
        query: Mapping[str, str],
        files: Sequence[tuple[str, tuple[str, bytes]]],
    ) -> httpx2.Response:
        """Send a form of files, again and again while the service is busy or has gone.

        Also where the connection broke amid the answer: labelling changes nothing, so twice is as
        good as once.

        Raises:
            ChipvoteError: within the patience no answer came, or none but "busy".
        """
        until_s = time.monotonic() + self._patience_s
        attempt = 0
        while True:
            try:
                response = await http.post(path, params=query, files=files)
            except httpx2.RequestError as error:
                failed, asked_s = self._unreachable(error), 0.0
                if self._is_nobody(error, attempt):
                    raise failed from error
            else:
                self._reached = True
                if response.status_code not in BUSY:
                    return response
                failed, asked_s = self.unusable(response), _retry_after_s(response)
            wait_s = _wait_s(attempt, asked_s)
            if time.monotonic() + wait_s > until_s:
                raise failed
            await anyio.sleep(wait_s)
            attempt += 1

    def lines(self, path: str, query: Mapping[str, str], file: Path) -> Iterator[Any]:
        """Send a file, and yield the lines of JSON that answer it, as they come.

        It is sent again while the service is busy or has gone, but never after the first line.

        Raises:
            OSError: the file cannot be read.
            ChipvoteError: as of `post`; or the answer broke off.
        """
        until_s = time.monotonic() + self._patience_s
        attempt = 0
        with httpx2.Client(**self._options) as http:
            while True:
                begun, asked_s = False, 0.0
                try:
                    with (
                        file.open("rb") as body,
                        http.stream("POST", path, params=query, content=body, headers=_BYTES) as response,
                    ):
                        self._reached = True
                        if response.is_success:
                            for line in response.iter_lines():
                                begun = True
                                yield json.loads(line)
                            return
                        response.read()
                        failed, asked_s = self.unusable(response), _retry_after_s(response)
                        if response.status_code not in BUSY:
                            raise failed
                except httpx2.RequestError as error:
                    failed = self._unreachable(error)
                    if begun or self._is_nobody(error, attempt):
                        raise failed from error
                except ValueError:
                    raise self.strange(response, "a line came that is no JSON") from None
                wait_s = _wait_s(attempt, asked_s)
                if time.monotonic() + wait_s > until_s:
                    raise failed
                time.sleep(wait_s)
                attempt += 1

    def json(self, response: httpx2.Response) -> Any:  # noqa: ANN401
        """Read an answer.

        Raises:
            ChipvoteError: it is no JSON, so somebody else answered.
        """
        try:
            return response.json()
        except (ValueError, RecursionError):
            kind = response.headers.get("content-type", "no type")
            raise self.strange(response, f"{kind} came where JSON was expected") from None

    def strange(self, response: httpx2.Response, what: str) -> ChipvoteError:
        """Return the error that an answer means which Chipvote does not give."""
        return ChipvoteError(f"{_shown(response.url)}: {what}; is {self._shown} where Chipvote answers?")

    def unusable(self, response: httpx2.Response) -> ChipvoteError:
        """Return the error that an answer means."""
        said = problem(response)
        return ChipvoteError(f"{_shown(response.url)}: {said['title']}: {said['detail']}", said)

    def _is_nobody(self, error: httpx2.RequestError, attempt: int) -> bool:
        """Tell whether it is no use to try this address again."""
        nobody = isinstance(error, httpx2.TimeoutException | httpx2.ConnectError)
        return not self._reached and (nobody or attempt == _REPEATS_TO_A_STRANGER)

    def _unreachable(self, error: httpx2.RequestError) -> ChipvoteError:
        if isinstance(error, httpx2.ReadTimeout):
            return ChipvoteError(
                f"{self._shown}: not a byte for {self._timeout_s:g} s; send fewer chips per request, or set "
                "timeout_s"
            )
        reason = str(error) or type(error).__name__
        return ChipvoteError(f"{self._shown}: no answer ({reason}); is the service running there?")


def _shown(url: httpx2.URL) -> str:
    """Write an address without the password that may be in it."""
    return str(url.copy_with(userinfo=b""))


def problem(response: httpx2.Response) -> Problem:
    """Read a problem, or put into words what a proxy said instead."""
    try:
        said = response.json()
        return Problem(type=said["type"], title=said["title"], status=said["status"], detail=said["detail"])
    except (ValueError, TypeError, KeyError):
        detail = "something between here and the service answered so"
        if response.status_code in (401, 403):
            detail += "; if it asks for a key, give it: Client(url, key=…), --key or CHIPVOTE_KEY"
        if target := response.headers.get("location"):
            detail = f"it leads to {target}; give the address that it ends at"
        title = f"{response.status_code} {response.reason_phrase}".strip()
        return Problem(type="about:blank", title=title, status=response.status_code, detail=detail)


def _retry_after_s(response: httpx2.Response) -> float:
    """Return how many seconds the service asks to wait, by number or date; 0 if it does not."""
    asked = response.headers.get("retry-after", "")
    if asked.isdecimal():
        return float(asked)
    try:
        wait: timedelta = parsedate_to_datetime(asked) - datetime.now(UTC)
    except (ValueError, TypeError):  # no date, or one of nowhere
        return 0.0
    return max(0.0, wait.total_seconds())


def _wait_s(attempt: int, asked_s: float) -> float:
    """Return when to try again: as asked, or twice as long each time; never all clients at once."""
    return max(asked_s, min(_LONGEST_WAIT_S, 0.25 * 2.0**attempt)) * random.uniform(1, 1.5)
