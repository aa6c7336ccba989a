"""The Python client: any number of files in, their label sets out, in order.

    from chipvote import Client  # or service.client, where the server is installed

    chipvote = Client("http://127.0.0.1:8000")
    for result in chipvote.predict(Path("chips").iterdir()):
        said = result["labels"] if "labels" in result else result["error"]["detail"]
        print(result["filename"], said)

Sends several chips per request and several requests at a time, waits for a busy service, and has no
more files in memory than are being sent. Needs httpx2, and rich for the progress bar; nothing of
the server. The answers' shapes are the service's own (`schemas.py`).
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, cast

import anyio
import httpx2
from anyio.from_thread import start_blocking_portal

from .files import size_bytes, unreadable
from .progress import watch
from .scenes import scene_rows
from .schemas import Failure, Labels, Prediction, Problem, SceneRow, Shadow, Swap
from .transport import Exchange, problem

Result = Prediction | Failure

REQUEST_BYTES = 32 << 20  # a fifth of what the service takes by default
CHIP_STATUSES = (400, 413, 415, 422)  # of a request whose only chip cannot be used
TOO_MUCH = (400, 413)  # of a request with more chips, or bytes, than the service takes


class _File(NamedTuple):
    path: Path
    data: bytes


class Client:
    """A service at one address. Threads may share it."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = 150,
        chips_per_request: int = 16,
        connections: int = 4,
        patience_s: float = 300,
        deadline_s: float | None = None,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: where the service answers, as `http://127.0.0.1:8000`; also below a path.
            key: sent as a bearer token, to a service that asks for one or to a proxy before it.
            timeout_s: seconds without a byte after which a request counts as failed.
            chips_per_request: at most.
            connections: requests at the same time.
            patience_s: seconds that a request is sent again while the service is busy or has gone.
            deadline_s: whole seconds after which the service drops a chip that it has not answered,
                and says so by a 504; the service's own limit if None.

        Raises:
            ValueError: the address is none, the key cannot be one, or a number is below 1.
        """
        if chips_per_request < 1 or connections < 1 or (deadline_s is not None and deadline_s < 1):
            raise ValueError("chips_per_request, connections and deadline_s must be 1 or more")
        self._chips_per_request, self._connections = chips_per_request, connections
        self._exchange = Exchange(
            url,
            key,
            timeout_s=timeout_s,
            connections=connections,
            patience_s=patience_s,
            deadline_s=deadline_s,
        )

    def labels(self) -> Labels:
        """Return the labels, in order, with how each is decided.

        Raises:
            ChipvoteError: the service cannot be used.
        """
        return cast(Labels, self._exchange.ask("GET", "labels"))

    def model(self) -> Mapping[str, Any]:
        """Return the model card.

        Raises:
            ChipvoteError: the service cannot be used.
        """
        return cast(Mapping[str, Any], self._exchange.ask("GET", "model"))

    def loaded(self) -> Swap:
        """Return which bundles are loaded, which could be, and how far the last swap got.

        Raises:
            ChipvoteError: the service cannot be used, or the key is none for this.
        """
        return cast(Swap, self._exchange.ask("GET", "swap"))

    def swap(self, bundle: str, *, most_different: float | None = None) -> Swap:
        """Begin to let another bundle answer; `loaded` tells when that is done.

        Args:
            bundle: the name of its folder; that, or the version, of the bundle before swaps back at
                once.
            most_different: the share of decisions on the last chips that may differ; the service's
                own bound if None.

        Raises:
            ChipvoteError: as in `loaded`, or the service refused at once.
        """
        return self._ask_for_swap("POST", "swap", {"bundle": bundle, "most_different": most_different})

    def shadow(self, bundle: str, share: float, *, most_different: float | None = None) -> Swap:
        """Begin to have a bundle answer a share of the chips unseen.

        Raises:
            ChipvoteError: as in `swap`.
        """
        return self._ask_for_swap(
            "POST", "shadow", {"bundle": bundle, "share": share, "most_different": most_different}
        )

    def end_shadow(self) -> Swap:
        """Begin to drop the bundle that is tried unseen.

        Raises:
            ChipvoteError: as in `swap`.
        """
        return self._ask_for_swap("DELETE", "shadow", {})

    def differences(self) -> Shadow:
        """Return how the bundle that is tried unseen answers, beside the one that is heard.

        Raises:
            ChipvoteError: as in `loaded`.
        """
        return cast(Shadow, self._exchange.ask("GET", "shadow"))

    def predict(
        self,
        paths: Iterable[Path | str],
        *,
        members: bool = False,
        evidence: bool = False,
        footprint: bool = False,
        version: str | None = None,
        progress: bool = True,
    ) -> Iterator[Result]:
        """Label files: one result per path, in their order, as they come.

        A file that cannot be used gives a `Failure` in its place and costs the others nothing.
        Leaving the iteration early cancels what is under way.

        Args:
            paths: JPEG, PNG, WebP, JPEG 2000 or TIFF files; read only when their turn comes.
            members: also every member's own probabilities.
            evidence: also where each predicted label's evidence lies.
            footprint: also where a GeoTIFF lies.
            version: of the bundle that answers; the one that is served if None.
            progress: tell on stderr how far it is: a bar on a terminal, elsewhere a line every
                ten seconds.

        Raises:
            ChipvoteError: the service cannot be used, or stayed busy for longer than the patience.
        """
        if isinstance(paths, str | Path):
            raise TypeError("paths is one path; give a list of them")
        total = len(paths) if isinstance(paths, Sized) else None
        wanted = {"members": members, "evidence": evidence, "footprint": footprint}
        query = {name: "true" for name, on in wanted.items() if on}
        results = self._predict(paths, query | _of(version))
        return watch(results, total, "chips") if progress else results

    def predict_scene(
        self,
        path: Path | str,
        *,
        stride: float = 1,
        members: bool = False,
        version: str | None = None,
        progress: bool = True,
    ) -> Iterator[SceneRow]:
        """Label a GeoTIFF window by window, as they come.

        Args:
            path: of the GeoTIFF.
            stride: from window to window, as a share of a window.
            members: as of `predict`; so for the next two.
            version: see above.
            progress: see above.

        Raises:
            ChipvoteError: the scene or the service cannot be used, or the answer ended early.
        """
        query = {"stride": f"{stride:g}", "members": str(members).lower()}
        return scene_rows(self._exchange, Path(path), query | _of(version), progress)

    def _ask_for_swap(self, method: str, path: str, query: Mapping[str, str | float | None]) -> Swap:
        given = {name: value for name, value in query.items() if value is not None}
        return cast(Swap, self._exchange.ask(method, path, given))

    def _predict(self, paths: Iterable[Path | str], query: Mapping[str, str]) -> Iterator[Result]:
        waiting: deque[Future[list[Result]]] = deque()
        turns = asyncio.Semaphore(self._connections)
        # The event loop has a thread of its own: so it works in a notebook, which has one already,
        # and while the caller looks at results.
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(self._exchange.open()) as http,
        ):
            try:
                for part in self._parts(paths):
                    waiting.append(portal.start_task_soon(self._label, http, turns, part, query))
                    if len(waiting) > 2 * self._connections:
                        yield from waiting.popleft().result()
                while waiting:
                    yield from waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _parts(self, paths: Iterable[Path | str]) -> Iterator[list[Path]]:
        """Put paths together that fit one request."""
        part: list[Path] = []
        size = 0
        for path in map(Path, paths):
            more = size_bytes(path)
            if part and size + more > REQUEST_BYTES:
                yield part
                part, size = [], 0
            part.append(path)
            size += more
            if len(part) == self._chips_per_request:  # now, and not when the next path comes
                yield part
                part, size = [], 0
        if part:
            yield part

    async def _label(
        self,
        http: httpx2.AsyncClient,
        turns: asyncio.Semaphore,
        paths: Sequence[Path],
        query: Mapping[str, str],
    ) -> list[Result]:
        async with turns:
            read = [await anyio.to_thread.run_sync(_read, path) for path in paths]
            answered = iter(await self._send(http, [file for file in read if isinstance(file, _File)], query))
        return [next(answered) if isinstance(file, _File) else file for file in read]

    async def _send(
        self, http: httpx2.AsyncClient, files: Sequence[_File], query: Mapping[str, str]
    ) -> list[Result]:
        """Send some chips in one request, or in more if the service does not take that much."""
        if not files:
            return []
        # The name is none of the service's business, and may hold what no form can spell.
        form = [("chip", ("chip", file.data)) for file in files]
        response = await self._exchange.post(http, "predict", query, form)
        if response.status_code == 200:
            answer = self._exchange.json(response)
            try:
                results: list[Result] = answer["predictions"]
                for file, result in zip(files, results, strict=True):
                    result["filename"] = str(file.path)
            except (KeyError, TypeError, ValueError):
                what = f"this is no answer for {len(files)} chips"
                raise self._exchange.strange(response, what) from None
            return results
        if len(files) > 1 and response.status_code in TOO_MUCH:
            half = len(files) // 2
            return [
                *await self._send(http, files[:half], query),
                *await self._send(http, files[half:], query),
            ]
        if len(files) == 1 and response.status_code in CHIP_STATUSES:
            return [Failure(filename=str(files[0].path), error=problem(response))]
        raise self._exchange.unusable(response)


def _of(version: str | None) -> dict[str, str]:
    return {"version": version} if version else {}


def _read(path: Path) -> _File | Failure:
    try:
        return _File(path, path.read_bytes())
    except (OSError, ValueError) as error:
        no_chip = Problem(type="about:blank", title="No chip", status=400, detail=unreadable(error))
        return Failure(filename=str(path), error=no_chip)
