"""Chat models that read pictures: behind an address that speaks the OpenAI protocol, or on this machine.

Nothing is sent anywhere unless an address is given, and no key is read but one that is passed.
"""

from __future__ import annotations

import base64
import io
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..utils.faults import reason

Message = dict[str, Any]
"""`role` and `content`: a list of `{"type": "text", "text": ...}` and `{"type": "image", "image": PIL.Image}`."""

# Answers of a server that is busy or starting; others will not change when the same is sent again.
_BUSY = (408, 409, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Reply:
    """What a model said.

    Args:
        text (`str`): Its words.
        prompt_tokens (`int`, defaults to 0): What was read, as the server counts; 0 if it does not say.
        completion_tokens (`int`, defaults to 0): What was written.
        refused (`bool`, defaults to `False`): The server says that the model, or its filter, declines.
    """

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    refused: bool = False


class ChatFailure(OSError):
    """There was no answer.

    Args:
        kind (`str`): `"timeout"`, `"busy"`, `"format"` (an answer that is not in the protocol), `"unreachable"` or `"rejected"`.
        message (`str`): What happened.
        retry_after (`float`, defaults to 0.0): Seconds that the server asks to wait.
    """

    def __init__(self, kind: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.kind, self.retry_after = kind, retry_after

    @property
    def passing(self) -> bool:
        """Whether the next request may still go well: not if the address, the key or the model is wrong."""
        return self.kind in ("timeout", "busy", "format")


class Chat(ABC):
    """A model that answers.

    Attributes:
        model (`str`): Its name, for reports and caches.
    """

    model: str

    @abstractmethod
    def __call__(self, messages: Sequence[Message]) -> Reply:
        """Answer the last of the messages.

        Raises:
            ChatFailure: If there is no answer after all attempts.
        """


class ChatClient(Chat):
    """Any server that speaks the OpenAI protocol, through `huggingface_hub.InferenceClient`.

    Args:
        base_url (`str`): Its address, such as `"http://127.0.0.1:8000/v1"`. There is no default.
        model (`str`): The name that it knows the model by.
        api_key (`str`, *optional*): Sent as a bearer token; no key is sent without, not even a token of the Hub.
        timeout (`float`, defaults to 60.0): Seconds to wait for an answer.
        max_tokens (`int`, defaults to 100): Most tokens of an answer.
        temperature (`float`, defaults to 0.0): Of the sampling; 0 gives the likeliest answer.
        seed (`int`, *optional*): Sent with every request, for servers that draw.
        attempts (`int`, defaults to 4): How often a request is sent while the server is busy or silent.
        wait (`float`, defaults to 1.0): Seconds before the second attempt, doubled each time; longer if the server says so.

    Raises:
        ValueError: If an option is out of range, or `HF_HUB_OFFLINE` is set, which forbids every connection, also to this machine.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        max_tokens: int = 100,
        temperature: float = 0.0,
        seed: int | None = None,
        attempts: int = 4,
        wait: float = 1.0,
    ) -> None:
        from huggingface_hub import InferenceClient, constants

        if not str(base_url).startswith(("http://", "https://")):
            raise ValueError(f"base_url must begin with http:// or https://, got {base_url!r}.")
        if attempts < 1 or timeout <= 0 or max_tokens < 1 or wait < 0:
            raise ValueError("attempts and max_tokens must be at least 1, timeout positive and wait not negative.")
        if constants.HF_HUB_OFFLINE:
            raise ValueError("HF_HUB_OFFLINE is set, which forbids every connection, also to a server on this machine. Unset it.")
        self.model, self.base_url = model, base_url
        self.max_tokens, self.temperature, self.seed, self.attempts, self.wait = max_tokens, temperature, seed, attempts, wait
        # Without a key of its own the client would send this machine's token of the Hub to whoever answers; an empty header overrides it.
        self._client = InferenceClient(
            base_url=base_url, api_key=api_key, timeout=timeout, headers=None if api_key else {"authorization": ""}
        )  # fmt: skip

    def __call__(self, messages: Sequence[Message]) -> Reply:
        """Answer; see `Chat`."""
        sent = [{"role": message["role"], "content": [_sent(part) for part in message["content"]]} for message in messages]
        for attempt in range(self.attempts - 1):
            try:
                return self._ask(sent)
            except ChatFailure as failure:
                if failure.kind == "rejected":
                    raise
                time.sleep(min(_LONGEST_WAIT, max(failure.retry_after, self.wait * 2**attempt)))
        return self._ask(sent)

    def _ask(self, messages: list[dict[str, Any]]) -> Reply:
        from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError

        try:
            answer = self._client.chat_completion(
                messages, model=self.model, max_tokens=self.max_tokens, temperature=self.temperature, seed=self.seed
            )
            return _read(answer)
        except InferenceTimeoutError as error:
            raise ChatFailure("timeout", f"{self.base_url} did not answer in time.") from error
        except HfHubHTTPError as error:
            raise self._failure(error) from error
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise ChatFailure("format", f"{self.base_url} answers in another format: {reason(error)}") from error
        except Exception as error:  # huggingface_hub passes on what its HTTP library raises, and that library has changed
            if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2", "httpcore", "httpcore2", "requests"):
                raise
            late = "timeout" in type(error).__name__.lower()
            raise ChatFailure("timeout" if late else "unreachable", f"{self.base_url}: {reason(error)} Is the server running?") from error

    def _failure(self, error: Any) -> ChatFailure:
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", 503)
        waits = str(getattr(response, "headers", {}).get("retry-after", ""))
        seconds = float(waits) if waits.replace(".", "", 1).isdigit() else 0.0
        return ChatFailure("busy" if status in _BUSY else "rejected", f"{self.base_url} answers {status}: {reason(error)}", seconds)


class LocalChat(Chat):
    """A vision-language model of transformers on this machine.

    Args:
        model (`str` or `os.PathLike`): Folder or Hub repository, loaded from safetensors only, without code of its own.
        device (`str`, *optional*): The fastest there is by default.
        max_tokens (`int`, defaults to 100): Most tokens of an answer.

    Raises:
        OSError: If there is no such model.
        ValueError: If it is no vision-language model.
    """

    def __init__(self, model: str | os.PathLike[str], device: str | None = None, max_tokens: int = 100) -> None:
        from transformers import pipeline

        from ..utils.device import choose_device

        options = {"model_kwargs": {"use_safetensors": True}}
        self._pipeline = pipeline("image-text-to-text", model=str(model), device=choose_device(device), **options)
        self.model, self.max_tokens = str(model), max_tokens

    def __call__(self, messages: Sequence[Message]) -> Reply:
        """Answer with the likeliest words; see `Chat`."""
        options = {"max_new_tokens": self.max_tokens, "do_sample": False}
        answer = self._pipeline(text=list(messages), generate_kwargs=options, return_full_text=False)
        return Reply(answer[0]["generated_text"])


def say(*parts: Any, role: str = "user") -> Message:
    """A message of texts and pictures."""
    content = [{"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": part} for part in parts]
    return {"role": role, "content": content}


def _sent(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return part
    file = io.BytesIO()
    part["image"].save(file, "PNG")
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()}}


def _read(answer: Any) -> Reply:
    choice, usage = answer.choices[0], getattr(answer, "usage", None)
    filtered = getattr(choice, "finish_reason", None) == "content_filter" or bool(getattr(choice.message, "refusal", None))
    text = choice.message.content
    if not isinstance(text, str) and not filtered:
        raise ValueError(f"the message's content is {text!r}.")
    return Reply(
        text or "", int(getattr(usage, "prompt_tokens", 0) or 0), int(getattr(usage, "completion_tokens", 0) or 0), refused=filtered
    )
