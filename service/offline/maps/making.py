"""A map from its scenes to its finished files: what the command does, without its words."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from service.contract.bundle import Bundle
from service.contract.errors import StartupError
from service.engine.decoding import threads_for
from service.offline.files import open_crew
from service.offline.maps.journal import PART_WINDOWS, SUFFIX, Journal, JournalError
from service.offline.maps.labelling import label_windows
from service.offline.maps.outputs import check_outputs, write_outputs
from service.offline.maps.plan import Wishes, facts, plan, spec_for
from service.settings import Settings


class Counts(NamedTuple):
    """What became of a map's windows."""

    windows: int
    labelled: int
    left_out: int
    failed: int


class Making:
    """One map."""

    def __init__(
        self,
        addresses: Sequence[str],
        outs: Sequence[Path],
        bundle: Bundle,
        settings: Settings,
        wishes: Wishes,
    ) -> None:
        """Look at the scenes.

        Args:
            addresses: of scenes.
            outs: files to write; the parts lie beside the first.
            bundle: that labels.
            settings: of a service.
            wishes: what else is asked for.

        Raises:
            StartupError: the map cannot be made; says why, and the fix.
        """
        check_outputs(outs, addresses)
        self._addresses, self._outs, self._bundle = addresses, outs, bundle
        self._settings, self._wishes = settings, wishes
        self._spec = spec_for(bundle, wishes)
        self.grids = plan(addresses, self._spec, wishes)
        self.windows = sum(map(len, self.grids))
        self._journal = Journal(outs[0].with_name(outs[0].name + SUFFIX))
        self.counts: Counts | None = None  # until it is made

    def progress(self) -> Iterator[int]:
        """Make the map, from where it was stopped.

        Yields:
            How many windows are done: once at first, then after each.

        Raises:
            StartupError: it cannot go on; says why, and the fix.
            SceneError: a scene is not there any more.
            OSError: a file cannot be written.
        """
        settings = self._as_begun()
        try:
            crew = open_crew(self._bundle, settings, all_members=self._wishes.all_members)
        except StartupError as error:
            if settings is self._settings:
                raise
            raise JournalError(
                f"{self._journal.folder} was begun with {settings.precision}, which is not to be had here "
                f"({error}); go on where it was begun, or remove that folder"
            ) from error
        known = facts(self._addresses, self._bundle, self._wishes, crew.voter.precision)
        with crew, self._journal.opened(known):
            yield min(self._journal.count * PART_WINDOWS, self.windows)
            yield from label_windows(
                crew, self._bundle, self._spec, self.grids, self._wishes, self._journal,
                threads_for(self._settings.decode_threads),
            )  # fmt: skip
            write_outputs(self._journal.parts, self._outs)
            rows, failed = self._journal.counts()
            self.counts = Counts(self.windows, rows - failed, self.windows - rows, failed)
            self._journal.remove()

    def _as_begun(self) -> Settings:
        """Return the settings, with the precision that was fastest when the map was begun."""
        precision = self._journal.begun().get("precision")
        if self._settings.precision != "auto" or precision not in self._bundle.manifest.precisions:
            return self._settings
        return self._settings.model_copy(update={"precision": precision})
