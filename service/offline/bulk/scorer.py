"""Items → rows in one process: what a worker of any kind holds once.

Knows the decoder's and the ensemble's streams; not who else answers, nor where rows go.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from service.contract.bundle import load
from service.contract.errors import ServiceError
from service.contract.manifest import InputSpec
from service.engine.crew import Crew
from service.offline.bulk.copies import Copies
from service.offline.bulk.inputs import Item
from service.offline.bulk.reading import Chip, Found, chips
from service.offline.bulk.rows import Row
from service.offline.files import open_crew
from service.settings import Settings


@dataclass(frozen=True)
class Scorer:
    """A bundle's networks, and what feeds them."""

    crew: Crew[Any]
    spec: InputSpec
    settings: Settings
    copies: Copies | None = None  # what need not be answered again; None: everything is

    def rows(self, items: Iterable[Item]) -> Iterator[Row]:
        """Answer every input in order; one that cannot be used gives its error."""
        return self.answered(chips(items, self.spec, self.settings, self.copies))

    def answered(self, found: Iterable[tuple[Found, Chip]]) -> Iterator[Row]:
        """Answer what was read, in order."""
        for (item, digest, first), verdict in self.crew.verdicts(found):
            row = Row(item.name, item.address, digest)
            if first:
                yield row._replace(verdict=first.verdict)
            elif isinstance(verdict, ServiceError):
                yield row._replace(title=verdict.title, reason=verdict.detail)
            else:
                yield row._replace(verdict=verdict)


class Opening(Protocol):
    """What opens a scorer in another process, to which it is pickled."""

    def __call__(self, bundle: Path | None = None) -> Scorer:
        """Open it.

        Args:
            bundle: where it lies on this machine; None: where the settings say.

        Raises:
            StartupError: the bundle cannot be used there; says why, and the fix.
        """


class OpenBundle(NamedTuple):
    """Opens a bundle's scorer."""

    settings: Settings
    all_members: bool
    copies: Path | None = None

    def __call__(self, bundle: Path | None = None) -> Scorer:
        """Open it; see `Opening`."""
        loaded = load(bundle or self.settings.bundle)
        crew = open_crew(loaded, self.settings, all_members=self.all_members)
        copies = Copies(self.copies) if self.copies else None
        return Scorer(crew, loaded.manifest.input, self.settings, copies)
