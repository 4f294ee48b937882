"""Motions over HTTP, as GLB for engines and as JSON for web players; requests that come together are made in one call.

    pip install "hf-motion[serve]"
    python pipelines/serve.py --port 8000
    curl -X POST localhost:8000/generate -H "Content-Type: application/json" -d '{"prompt": "a person waves", "format": "glb"}' -o wave.glb

`http://localhost:8000/` is a page to try it. The layout of the JSON is told in `hf_motion/formats/README.md`.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import torch

try:
    from fastapi import FastAPI, HTTPException, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import HTMLResponse, JSONResponse
except ImportError as error:
    raise ImportError("Serving motions needs FastAPI, which is not installed: pip install 'hf-motion[serve]'") from error
from pydantic import BaseModel, Field
from transformers import pipeline

from hf_motion.nn.generators import spawn_generators
from hf_motion.utils.asked import asked_frames
from hf_motion.utils.device import choose_device
from hf_motion.utils.text import check_prompts
from hf_motion.utils.training_folder import checkpoint_in

MEDIA_TYPES = {"glb": "model/gltf-binary", "json": "application/json", "html": "text/html"}
COLLECT_SECONDS, MOST_AT_ONCE, MOST_WAITING = 0.02, 32, 256
PAGE = """<!doctype html><meta charset="utf-8"><title>hf_motion</title>
<style>body{font:16px sans-serif;max-width:60em;margin:2em auto}iframe{width:100%;height:30em;border:0}</style>
<form><input name="prompt" value="a person walks forward and waves"> <input name="seconds" type="number" value="4" step="0.5" min="0.5">
<button>Make</button> <span></span></form><iframe sandbox="allow-scripts"></iframe>
<script>
document.forms[0].onsubmit = async (event) => {
  event.preventDefault();
  const { prompt, seconds } = event.target, said = document.querySelector("span");
  said.textContent = "...";
  const body = JSON.stringify({ prompt: prompt.value, seconds: seconds.valueAsNumber || null, format: "html" });
  const answer = await fetch("generate", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  const text = await answer.text();
  said.textContent = answer.ok ? "" : text;
  if (answer.ok) document.querySelector("iframe").srcdoc = text;
};
</script>"""


class Wish(BaseModel):
    """Body of `POST /generate`."""

    prompt: str = Field(max_length=1000)
    seconds: float | None = None
    seed: int | None = Field(None, ge=0, lt=2**63)
    format: Literal["glb", "json", "html"] = "glb"


class Batcher:
    """Collects wishes for a moment and makes their motions in one call; a motion does not depend on its neighbours."""

    def __init__(self, text_to_motion: Any) -> None:
        self.text_to_motion = text_to_motion
        self.waiting: asyncio.Queue[tuple[Wish, asyncio.Future]] = asyncio.Queue(MOST_WAITING)
        self.calls = 0

    async def make(self, wish: Wish) -> Any:
        """The motion of one wish."""
        future = asyncio.get_running_loop().create_future()
        self.waiting.put_nowait((wish, future))
        return await future

    async def work(self) -> None:
        """Serve what is waiting, for ever."""
        while True:
            batch = [await self.waiting.get()]
            await asyncio.sleep(COLLECT_SECONDS)
            while len(batch) < MOST_AT_ONCE and not self.waiting.empty():
                batch.append(self.waiting.get_nowait())
            await self._answer(batch)

    async def _answer(self, batch: list[tuple[Wish, asyncio.Future]]) -> None:
        self.calls += 1
        try:
            results = await asyncio.to_thread(self._generate, [wish for wish, _ in batch])
        except Exception as error:
            if len(batch) > 1:  # one that cannot be made does not spoil the others
                middle = len(batch) // 2
                await self._answer(batch[:middle])
                await self._answer(batch[middle:])
                return
            results = [error]
        for (_, future), result in zip(batch, results, strict=True):
            if not future.cancelled():
                (future.set_exception if isinstance(result, Exception) else future.set_result)(result)

    def _generate(self, wishes: list[Wish]) -> list[Any]:
        fps, longest = (getattr(self.text_to_motion.model.feature_extractor, name) for name in ("fps", "max_frames"))
        frames = [min(int(6 * fps), longest) if wish.seconds is None else max(1, round(wish.seconds * fps)) for wish in wishes]
        seeds = [torch.seed() % 2**63 if wish.seed is None else wish.seed for wish in wishes]
        # As `hf-motion generate --seed` does, so that both make the same motion.
        generators = [spawn_generators(torch.Generator().manual_seed(seed), 1, self.text_to_motion.model.device)[0] for seed in seeds]
        return self.text_to_motion([wish.prompt for wish in wishes], frames, generator=generators, batch_size=MOST_AT_ONCE)


def make_app(text_to_motion: Any) -> FastAPI:
    """The server of a `pipeline("text-to-motion")`."""
    batcher = Batcher(text_to_motion)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker = asyncio.create_task(batcher.work())
        yield
        worker.cancel()

    app = FastAPI(title="hf_motion", lifespan=lifespan)
    app.state.batcher = batcher
    extractor = text_to_motion.model.feature_extractor

    @app.exception_handler(RequestValidationError)
    async def refuse(request: Request, error: RequestValidationError) -> JSONResponse:
        """Without the value, which may be none that JSON can say."""
        return JSONResponse({"detail": [{"loc": one["loc"], "msg": one["msg"]} for one in error.errors()]}, 422)

    @app.post("/generate")
    async def generate(wish: Wish) -> Response:
        try:  # at the door: one that cannot be made must not split the batch of the others
            check_prompts(wish.prompt)
            asked_frames(None, wish.seconds, extractor.fps, extractor.max_frames)
            motion = await batcher.make(wish)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        except asyncio.QueueFull:
            raise HTTPException(503, f"{MOST_WAITING} requests are waiting; try again.", {"Retry-After": "5"}) from None
        return Response(await asyncio.to_thread(motion.to_bytes, wish.format), media_type=MEDIA_TYPES[wish.format])

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        return {"status": "ok", "waiting": batcher.waiting.qsize()}

    @app.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return PAGE

    return app


if __name__ == "__main__":
    import uvicorn

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder or Hub repository; the checkpoint inside hf_motion by default")
    parser.add_argument("--device", help="cpu, cuda, ...; the fastest there is by default")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    model = None if arguments.model is None else str(checkpoint_in(arguments.model))
    text_to_motion = pipeline("text-to-motion", model=model, device=choose_device(arguments.device))
    uvicorn.run(make_app(text_to_motion), host=arguments.host, port=arguments.port)
