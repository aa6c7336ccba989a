"""The page at `/`: plain files, sent as they are, that may talk to this service and nothing else.

But for the pictures behind its map, where a setting names an address for them. And the page at
`/docs`, of the framework's making. Their addresses are relative, so that they work below any path
of a host. Knows HTTP headers and a folder; what the page does is in `web/`.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles

DOCS_FILES = "docs-files"  # where the application has Swagger UI
FOLDER = Path(__file__).parents[1] / "web"
HEADERS = {
    # Pictures are the person's own files. No address but ours; no code in the markup runs.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",  # asked for again each time, and sent again only when it is another
}

# All of it is the same everywhere, so anybody may read it.
OPEN = ("/", "/docs", "/openapi.json")
FILES = ("/web/", f"/{DOCS_FILES}/")


@dataclass(frozen=True)
class Tiles:
    """The pictures behind the page's map.

    Attributes:
        address: of one, with {z}, {x} and {y} in it; "" for none.
        attribution: words about who made them.
    """

    address: str = ""
    attribution: str = ""

    def headers(self) -> dict[str, str]:
        """Return what every file of the page is sent with."""
        if not self.address:
            return HEADERS
        place = urlsplit(self.address)
        policy = HEADERS["Content-Security-Policy"].replace(
            "img-src 'self' blob:", f"img-src 'self' blob: {place.scheme}://{place.netloc}"
        )
        return HEADERS | {"Content-Security-Policy": policy}


router = APIRouter(include_in_schema=False)
_files = StaticFiles(directory=FOLDER)


@router.get("/")
async def get_page(request: Request) -> Response:
    """Show the page."""
    return await get_file(request, "index.html")


@router.get("/docs")
async def get_docs() -> Response:
    """Show the interactive documentation."""
    shown = get_swagger_ui_html(
        title="Chipvote - Swagger UI",
        openapi_url="openapi.json",
        swagger_js_url=f"{DOCS_FILES}/swagger-ui-bundle.js",
        swagger_css_url=f"{DOCS_FILES}/swagger-ui.css",
        swagger_favicon_url="web/icon.svg",
    )
    (script,) = re.findall(rb"<script>(.*?)</script>", bytes(shown.body), re.DOTALL)
    hashed = base64.b64encode(hashlib.sha256(script).digest()).decode()
    shown.headers.update(HEADERS)
    # The page's one script, and what Swagger UI draws with: styles, pictures in addresses.
    shown.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' 'sha256-{hashed}'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return shown


@router.get("/web/tiles.json")
async def get_tiles(request: Request) -> Response:
    """Say where the page's map has its background from."""
    tiles: Tiles = request.app.state.tiles
    return JSONResponse({"address": tiles.address, "attribution": tiles.attribution}, headers=HEADERS)


@router.get("/web/{name}")
async def get_file(request: Request, name: str) -> Response:
    """Send one of the page's files."""
    tiles: Tiles = request.app.state.tiles
    response = await _files.get_response(name, request.scope)
    response.headers.update(tiles.headers())
    return response
