"""Previews beside the chips: bounded, over when the service is. Their pixels: test_preview.py."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from service.contract.bundle import Bundle
from service.contract.errors import CorruptChip, Overloaded
from service.server.previews import MOST, Previews
from tests.kit.fakes import RED, encoded, picture

LARGE = encoded(picture(RED, 4096), "PNG")


def test_no_more_than_some_wait(colours: Bundle) -> None:
    async def ask() -> list[bytes | BaseException]:
        previews, spec = Previews(), colours.manifest.input
        try:
            waiting = [asyncio.ensure_future(previews.draw(LARGE, spec)) for _ in range(MOST)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                previews.check()
            with pytest.raises(Overloaded):
                await previews.draw(LARGE, spec)
            drawn = await asyncio.gather(*waiting, return_exceptions=True)
            previews.check()
            with pytest.raises(CorruptChip):
                await previews.draw(LARGE[:100], spec)
            return drawn
        finally:
            previews.close()

    assert all(isinstance(data, bytes) for data in asyncio.run(ask()))


def test_labelling_goes_on_beside_many_previews(client: httpx2.Client) -> None:
    def preview(_: int) -> int:
        return client.post("/preview", content=LARGE, headers={"content-type": "image/png"}).status_code

    with ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(preview, index) for index in range(80)]
        time.sleep(0.2)
        chip = encoded(picture(RED), "PNG")
        answer = client.post("/predict", content=chip, headers={"content-type": "image/png"})
        assert answer.json()["predictions"][0]["labels"] == ["reddish"]
        assert {one.result() for one in asked} == {200, 503}
