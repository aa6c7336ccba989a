"""Brings in another bundle, step by step, one at a time; whatever is refused, what answers goes on.

Knows names under one folder; nothing a request brings is a path.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from service.client.schemas import Loaded, Swap, SwapJob
from service.contract.bundle import MANIFEST, Bundle, load
from service.contract.errors import BundleError, ServiceError, SwapRefused
from service.engine.served import Served, open_served
from service.engine.swap import proof
from service.engine.swap.versions import Versions
from service.metrics import Metrics
from service.settings import Settings

logger = logging.getLogger("chipvote")

LET_GO_S = 2.0  # that a refused bundle's threads have for their end
MOST_DIFFERENT = 0.1  # of the decisions on the last chips; far more than a network trained anew changes


class Swapper:
    """The way of other bundles into `Versions`."""

    def __init__(self, versions: Versions, settings: Settings, metrics: Metrics) -> None:
        self._versions, self._settings, self._metrics = versions, settings, metrics
        self._job: SwapJob | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, name: str, *, most_different: float = MOST_DIFFERENT, share: float | None = None) -> None:
        """Begin to bring a bundle in: to answer, or with a `share` to be tried unseen.

        Args:
            name: of a folder under the root, or name or version of the other loaded bundle.
            most_different: the share of decisions on the last chips that may differ.
            share: of the chips that it answers unseen.

        Raises:
            SwapRefused: another swap is under way, or there is no such bundle.
        """
        self._refuse_while_busy()
        known = self.bundles()
        if name not in known and not self._is_other(name):
            raise SwapRefused(
                f"there is no bundle {name!r}; there are: {', '.join(known) or 'none'}"
                + ("" if self._settings.bundles else " (set CHIPVOTE_BUNDLES to a folder of bundles)")
            )
        self._start(name, lambda job: self._bring(job, most_different, share))

    def end_shadow(self) -> None:
        """Begin to drop the bundle that is tried unseen.

        Raises:
            SwapRefused: there is none, or a swap is under way.
        """
        self._refuse_while_busy()
        if not self._versions.shadow or not self._versions.other:
            raise SwapRefused("no bundle is tried unseen")
        self._start(self._versions.other.name, lambda _: self._versions.drop_other())

    def bundles(self) -> list[str]:
        """Return the names of the bundles under the root; what is no text is no name."""
        root = self._settings.bundles
        try:
            folders = sorted(root.iterdir()) if root else []
        except OSError:
            return []
        return [folder.name for folder in folders if folder.name.isprintable() and _is_bundle(folder)]

    def told(self) -> Swap:
        """Return what is loaded, what could be, and how far the last swap got."""
        versions = self._versions
        return Swap(
            bundles=self.bundles(),
            serving=_loaded(versions.current),
            other=_loaded(versions.other) if versions.other else None,
            shadow=versions.shadow is not None,
            job=self._job,
        )

    async def close(self) -> None:
        """End what is under way."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _refuse_while_busy(self) -> None:
        if self._task and not self._task.done():
            raise SwapRefused("another swap is under way; wait for its end")

    def _start(self, name: str, work: Callable[[SwapJob], Awaitable[None]]) -> None:
        self._job = SwapJob(bundle=name, step="checking", detail=None, differences=None)
        self._task = asyncio.create_task(self._run(self._job, work))

    async def _run(self, job: SwapJob, work: Callable[[SwapJob], Awaitable[None]]) -> None:
        try:
            await work(job)
            job["step"] = "done"
        except Exception as error:
            known = isinstance(error, ServiceError)
            if not known:
                logger.error("a swap failed", exc_info=error)
            job["step"], job["detail"] = "refused", self._named(error) if known else "the log says why"
            logger.warning("swap to %s refused: %s", job["bundle"], error)
        self._metrics.swaps.labels(job["step"]).inc()

    async def _bring(self, job: SwapJob, most_different: float, share: float | None) -> None:
        versions = self._versions
        bundle = await self._read(job["bundle"])
        other = versions.other  # not before: meanwhile it may have been lost
        if other and other.bundle is bundle and share is None:  # it has shown all this before
            versions.switch(other)
            return
        proof.check_alike(bundle, versions.current.bundle)
        proof.check_memory(bundle, versions.current, other)
        await proof.check_apart(bundle, self._settings)
        job["step"] = "draining"
        await versions.drop_other()
        job["step"] = "loading"
        candidate = await open_served(bundle, self._settings, self._metrics, proven=True)
        job["step"] = "comparing"
        try:
            counted = await proof.compare(candidate, versions.recent(), most_different)
        except BaseException:
            await candidate.close(LET_GO_S)  # it answers nobody
            raise
        job["differences"] = counted.told()
        if share is None:
            versions.switch(candidate)
        else:
            versions.try_unseen(candidate, share)

    async def _read(self, name: str) -> Bundle:
        """Return a bundle: what is loaded under its name, unless its folder holds another."""
        other = self._versions.other
        loaded = other.bundle if other and self._is_other(name) else None
        if loaded and name not in self.bundles():
            return loaded
        try:
            bundle = await asyncio.to_thread(load, cast(Path, self._settings.bundles) / name)
        except BundleError:
            if not loaded:
                raise
            return loaded
        return loaded if loaded and loaded.manifest == bundle.manifest else bundle

    def _is_other(self, name: str) -> bool:
        """Tell whether the other loaded bundle is called so: two of a folder differ by version."""
        other = self._versions.other
        return other is not None and name in (other.name, other.version)

    def _named(self, error: Exception) -> str:
        """Return what was wrong, without the place of the folder on this machine."""
        return str(error).replace(f"{self._settings.bundles}/", "")


def _loaded(served: Served) -> Loaded:
    return Loaded(bundle=served.name, version=served.version)


def _is_bundle(folder: Path) -> bool:
    """Tell whether a bundle lies there that this process may read; no link leads elsewhere."""
    try:
        return (folder / MANIFEST).is_file() and folder.resolve().is_relative_to(folder.parent.resolve())
    except OSError:
        return False
