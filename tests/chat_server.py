"""A server on this machine that speaks the chat protocol, pictures included, and can misbehave in the ways that real ones do."""

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

Answer = str | int | float | dict[str, Any]
"""Words; an HTTP status; seconds of silence before "late"; or a whole body."""


class ChatServer(ThreadingHTTPServer):
    """Answers each request by what `answer` gives for it; `requests` keeps the bodies, `headers` their headers."""

    def __init__(self, answer: Callable[[dict[str, Any], int], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.requests, self.headers, self.lock = answer, [], [], threading.Lock()
        self.retry_after = "0"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number = len(self.server.requests)
            self.server.requests.append(request)
            self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
            answer = self.server.answer(request, number)
        if isinstance(answer, float):
            time.sleep(answer)
            answer = "late"
        status = answer if isinstance(answer, int) else 200
        message = {"role": "assistant", "content": answer}
        usage = {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = answer if isinstance(answer, dict) else {"choices": [choice], "usage": usage} if status == 200 else {"error": "busy"}
        content = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if status != 200:
                self.send_header("Retry-After", self.server.retry_after)
            self.end_headers()
            self.wfile.write(content)
        except BrokenPipeError:
            pass  # the client did not wait

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def chat_server(*answers: Answer | Callable[[dict[str, Any], int], Answer]) -> Iterator[ChatServer]:
    """Give these answers in turn, the last again and again; or those of a function of the request and its number."""

    def scripted(_: dict[str, Any], number: int) -> Answer:
        return answers[min(number, len(answers) - 1)]

    server = ChatServer(answers[0] if callable(answers[0]) else scripted)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def pictures(request: dict[str, Any]) -> list[Image.Image]:
    """The pictures that a request shows, decoded."""
    parts = [part for message in request["messages"] for part in message["content"] if part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(part["image_url"]["url"].partition("base64,")[2]))) for part in parts]


def text_of(request: dict[str, Any]) -> str:
    """The words that a request ends with."""
    return request["messages"][-1]["content"][-1]["text"]
