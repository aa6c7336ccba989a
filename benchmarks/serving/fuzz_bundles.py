"""Damages a small bundle in every way, opens it as the service does, counts what became of it.

Manifests are sealed anew, so that the damage comes through to what reads them. An exception other
than the service's own ends the script with an error that names the seed; a crash ends it too.

    python -m benchmarks.serving.fuzz_bundles FOLDER [--bundles N] [--seed N] [--first N]

FOLDER is a small bundle: each is opened and proven, unless it is refused before.
"""

import hashlib
import json
import logging
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.harness.damage import damaged
from benchmarks.serving.fuzz import peak_mb, resident_mb
from service.contract.bundle import MANIFEST, SEAL, load, reference
from service.contract.errors import StartupError
from service.engine.fallback import open_ensemble
from service.settings import Settings

ODD: list[Any] = [None, -1, 0, 1e308, 2**63, "", "../x", "a\0", "x" * 300, [], {}, [[]], True, 0.5]


def altered(facts: Any, generator: random.Random) -> Any:  # noqa: ANN401
    """Return facts with one value, somewhere inside, replaced, removed or repeated."""
    if not isinstance(facts, dict | list) or not facts or generator.random() < 0.1:
        return generator.choice(ODD)
    key = generator.choice(list(facts) if isinstance(facts, dict) else range(len(facts)))
    changed = facts.copy()
    match generator.randrange(12):
        case 0:
            del changed[key]
        case 1 if isinstance(changed, list):
            changed.append(changed[key])
        case _:
            changed[key] = altered(facts[key], generator)
    return changed


def write(folder: Path, facts: dict[str, Any]) -> None:
    """Write a manifest with the seal that it needs."""
    facts.pop(SEAL, None)
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    facts[SEAL] = hashlib.sha256(canonical.encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(facts), encoding="utf-8")


def spoil(folder: Path, generator: random.Random) -> str:
    """Damage one file of a bundle; return which."""
    facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    refs = [facts["golden"]] + [g["file"] for m in facts["members"] for g in m["graphs"].values()]
    match generator.randrange(4):
        case 0:
            path = folder / MANIFEST
            path.write_bytes(damaged(path.read_bytes(), generator))
            return "manifest's bytes"
        case 1:
            changed = altered(facts, generator)
            write(folder, changed if isinstance(changed, dict) else {"": changed})
            return "manifest's facts"
        case 2:
            ref, what = refs[0], "golden"
        case _:
            ref, what = generator.choice(refs[1:]), "graph"
    path = folder / ref["path"]
    path.write_bytes(damaged(path.read_bytes(), generator))
    ref.update(reference(folder, ref["path"]).model_dump())
    write(folder, facts)
    return what


def fuzz(
    folder: Path, bundles: int, seed: int, first: int = 0
) -> tuple[Counter[tuple[str, bool]], float, int]:
    """Open so many damaged bundles; return the kinds, taken or not, the longest time and whose."""
    found: Counter[tuple[str, bool]] = Counter()
    slowest_s, slowest = 0.0, first
    with tempfile.TemporaryDirectory() as scratch:
        spoilt = Path(shutil.copytree(folder, Path(scratch) / "bundle"))
        whole = {path: path.read_bytes() for path in spoilt.iterdir() if path.is_file()}
        settings = Settings(bundle=spoilt, device="cpu", threads=1)
        for index in range(first, first + bundles):
            generator = random.Random(f"{seed} {index}")
            what, began_s = spoil(spoilt, generator), time.process_time()
            try:
                open_ensemble(load(spoilt), settings)
                found[what, True] += 1
            except StartupError as error:
                found[what, False] += 1
                assert len(str(error).splitlines()) == 1, f"bundle {index} of seed {seed}: {error}"
            except BaseException:
                print(f"bundle {index} of seed {seed}: {what}")
                raise
            if (took_s := time.process_time() - began_s) > slowest_s:
                slowest_s, slowest = took_s, index
            for path, data in whole.items():  # writing what is altered alone takes a fifth of the time
                if path.read_bytes() != data:
                    path.write_bytes(data)
    return found, slowest_s, slowest


def main(
    folder: Annotated[Path, typer.Argument(help="a small bundle")],
    bundles: Annotated[int, typer.Option(help="damaged bundles")] = 2000,
    seed: Annotated[int, typer.Option(help="another one damages otherwise")] = 0,
    first: Annotated[int, typer.Option(help="begin with this one")] = 0,
) -> None:
    """Damage a bundle again and again, and print what the service made of it."""
    logging.disable()  # what was passed over
    before_mb, began_s = resident_mb(), time.perf_counter()
    found, slowest_s, slowest = fuzz(folder, bundles, seed, first)
    mean_s = (time.perf_counter() - began_s) / bundles
    print(f"{'damaged':20}{'taken':>9}{'refused':>9}")
    for what in sorted({what for what, _ in found}):
        print(f"{what:20}{found[what, True]:9,}{found[what, False]:9,}")
    print(
        f"{bundles:,} bundles, {mean_s * 1000:.1f} ms each, at most {slowest_s * 1000:.0f} ms of a "
        f"processor (bundle {slowest}); "
        f"memory {before_mb:.0f} MB before, {resident_mb():.0f} after and {peak_mb():.0f} at most"
    )


if __name__ == "__main__":
    typer.run(main)
