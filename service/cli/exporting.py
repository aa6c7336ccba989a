"""Commands that make of a bundle what other systems load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from service.cli.console import BundleOption, app
from service.contract.errors import SettingsError

export = typer.Typer(help="Make of a bundle what other systems load", no_args_is_help=True)
app.add_typer(export, name="export")


@export.command()
def triton(
    out: Annotated[Path, typer.Option(help="Folder of the model repository, which must not be there yet")],
    bundle: BundleOption = None,
    name: Annotated[str, typer.Option(help="Name of the model that clients ask")] = "chipvote",
    backend: Annotated[
        Literal["onnxruntime", "python"],
        typer.Option(help="What runs the members: Triton's own backend, or ONNX Runtime in its Python"),
    ] = "onnxruntime",
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where the members run")] = "cpu",
    precision: Annotated[
        Literal["auto", "int8", "float16", "float32"], typer.Option(help="Which of the bundle's graphs")
    ] = "auto",
    max_batch: Annotated[
        int, typer.Option(min=1, max=1024, help="Most chips that Triton puts together")
    ] = 32,
) -> None:
    """Write a model repository for NVIDIA's Triton Inference Server."""
    from service.contract.bundle import load
    from service.offline.exports.triton import write_repository
    from service.settings import read_settings

    loaded = load(read_settings(bundle=bundle).bundle)
    with _writing(out):
        chosen = write_repository(
            loaded,
            out,
            name=name,
            backend=backend,
            device=device,
            precision=precision,
            max_batch=max_batch,
        )
    needed = "numpy pydantic onnxruntime" if backend == "python" else "numpy pydantic"
    print(f"{out}: {loaded.manifest.name} {loaded.manifest.version}, {chosen}, as the model {name}")
    print(f"Triton's Python, 3.11 or newer, needs {needed}; then: tritonserver --model-repository={out}")


@export.command()
def stac(
    out: Annotated[Path, typer.Option(help="JSON file of the item; takes the place of one that is there")],
    bundle: BundleOption = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Where the bundle's folder is published", show_default="its path, as seen from --out"
        ),
    ] = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(
            help="West, south, east and north of the ground it is meant for", show_default="no place"
        ),
    ] = None,
) -> None:
    """Write an item for a STAC catalogue, with the Machine Learning Model extension."""
    from service.contract.bundle import load
    from service.offline.exports.stac import write_item
    from service.settings import read_settings

    loaded = load(read_settings(bundle=bundle).bundle)
    with _writing(out):
        write_item(loaded, out, address=address, bbox=bbox)
    print(out)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(f"{out}: cannot be written ({error.strerror}); name another --out") from error
