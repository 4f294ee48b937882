"""The server in `pipelines/`, in this process."""

import asyncio
import importlib.util
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tiny import seeded, tiny_pipeline
from transformers import pipeline

from hf_motion import Motion
from hf_motion.pipelines.motion_system.modeling_motion_system import MotionSystem

PATH = Path(__file__).parents[1] / "pipelines" / "serve.py"


@pytest.fixture(scope="module")
def serve() -> Any:
    spec = importlib.util.spec_from_file_location("serve", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["serve"] = module  # pydantic looks types up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def text_to_motion() -> Any:
    pipe = tiny_pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipeline("text-to-motion", model=MotionSystem.from_pipeline(pipe), device="cpu")


def ask(app: Any, questions: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await questions(client)

    return asyncio.run(run())


def test_twenty_clients_at_once_are_few_calls(serve: Any, text_to_motion: Any) -> None:
    app = serve.make_app(text_to_motion)
    wishes = [{"prompt": f"a person walks {n} steps", "seconds": 0.5 + n / 20, "seed": n, "format": "json"} for n in range(20)]

    async def questions(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post("/generate", json=wish) for wish in wishes))

    answers = ask(app, questions)
    assert [answer.status_code for answer in answers] == [200] * 20
    assert app.state.batcher.calls <= 3
    for index in (0, 7, 19):
        content = json.loads(answers[index].content)
        alone = text_to_motion(wishes[index]["prompt"], content["frames"], generator=seeded(index))
        assert content["text"] == wishes[index]["prompt"]
        assert content["frames"] == round(wishes[index]["seconds"] * 20)
        np.testing.assert_allclose(content["positions"], alone.joints, atol=1e-4)


def test_formats_page_and_health(serve: Any, text_to_motion: Any) -> None:
    async def questions(client: httpx.AsyncClient) -> list[httpx.Response]:
        made = [await client.post("/generate", json={"prompt": "a person waves", "format": name}) for name in ("glb", "html")]
        return [*made, await client.get("/healthz"), await client.get("/")]

    glb, html, health, page = ask(serve.make_app(text_to_motion), questions)
    assert (glb.content[:4], glb.headers["content-type"]) == (b"glTF", "model/gltf-binary")
    assert "<canvas" in html.text
    assert health.json() == {"status": "ok", "waiting": 0}
    assert 'fetch("generate"' in page.text


@pytest.mark.parametrize(
    ("wish", "status", "message"),
    [
        ({"prompt": "a person waves", "seconds": 100}, 400, "seconds must be at most 2, got 100"),
        ({"prompt": " "}, 400, "empty"),
        ({"prompt": "a \ud800 walks"}, 422, "unicode"),
        ({"prompt": "a person waves", "seconds": -1}, 400, "seconds must be a positive number, got -1.0."),
        ({"prompt": "a person waves", "format": "fbx"}, 422, "'glb', 'json' or 'html'"),
        ({"prompt": "x" * 1001}, 422, "at most 1000 characters"),
        ({}, 422, "prompt"),
    ],
)
def test_errors_say_what_is_wrong(serve: Any, text_to_motion: Any, wish: dict, status: int, message: str) -> None:
    good, headers = {"prompt": "a person waves", "seconds": 1, "format": "json"}, {"Content-Type": "application/json"}

    async def questions(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post("/generate", content=json.dumps(body), headers=headers) for body in (wish, good)))

    app = serve.make_app(text_to_motion)
    bad, other = ask(app, questions)
    assert app.state.batcher.calls == 1  # for the good one alone
    assert bad.status_code == status
    assert message in bad.text
    assert other.status_code == 200


def test_what_is_served_can_be_loaded(serve: Any, text_to_motion: Any, tmp_path: Path) -> None:
    async def question(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/generate", json={"prompt": "a person waves", "format": "json", "seconds": 1})

    (tmp_path / "a.json").write_bytes(ask(serve.make_app(text_to_motion), question).content)
    assert len(Motion.load(tmp_path / "a.json")) == 20
