"""FastAPI on uvicorn: each request decodes and runs its chip in the thread pool; no batching."""

from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool

from benchmarks.peers.common import HOST, Model, Settings, decode


def create_app() -> FastAPI:
    """Open the bundle and return the application of one worker process."""
    model = Model(Settings())
    app = FastAPI()

    def answer(body: bytes) -> bytes:
        return to_json(model.answers([decode(body)])[0])

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        content = await run_in_threadpool(answer, await request.body())
        return Response(content, media_type="application/json")

    @app.get("/health")
    async def health() -> str:
        return "ok"

    return app


if __name__ == "__main__":
    settings = Settings()
    # uvicorn counts the connections of each worker.
    tight: dict[str, Any] = {
        "limit_concurrency": settings.queue // settings.workers,
        "timeout_graceful_shutdown": 30,
    }
    uvicorn.run(
        "benchmarks.peers.fastapi_server:create_app",
        factory=True,
        host=HOST,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
        log_level="warning",
        **(tight if settings.limits == "tight" else {}),
    )
