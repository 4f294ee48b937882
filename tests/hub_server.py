"""A small Hub on this machine: enough of the HTTP interface for the real `huggingface_hub` client to push, list and download.

Repositories live in memory. Every file is a regular git blob (never LFS or Xet), every commit gets its own sha, and `main` is the
only branch. Tests reach it through the `hub` fixture of `conftest.py`.
"""

import base64
import hashlib
import json
import re
import shutil
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

USER = "tester"
DATE = "2024-01-01T00:00:00.000Z"
TYPES = {"models": "model", "datasets": "dataset", "spaces": "space"}

RepoKey = tuple[str, str]
Files = dict[str, bytes]


class HubError(Exception):
    """An answer that is not a success; `code` is what tells the client which of its own exceptions to raise."""

    def __init__(self, status: int, message: str, code: str | None = None):
        super().__init__(message)
        self.status, self.code = status, code


class Repo:
    """The commits of one repository, oldest first."""

    def __init__(self, name: str):
        self.name = name
        self.commits: dict[str, Files] = {}
        self.commit({})

    def commit(self, files: Files) -> str:
        parent = self.head if self.commits else ""
        content = "".join(f"{path}{blob_id(data)}" for path, data in sorted(files.items()))
        sha = hashlib.sha1(f"{self.name}{parent}{content}".encode()).hexdigest()
        self.commits[sha] = files
        return sha

    @property
    def head(self) -> str:
        return next(reversed(self.commits))

    def resolve(self, revision: str) -> str:
        if revision == "main":
            return self.head
        if revision not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return revision


class Hub:
    """The server and its repositories; `offline` and `unplugged` are the two ways in which a Hub can be out of reach."""

    def __init__(self, cache: Path | None = None):
        self.requests: list[str] = []
        self.repos: dict[RepoKey, Repo] = {}
        self.cache = cache
        self.lock = threading.Lock()
        self.port = 0
        self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def files(self, repo_id: str, repo_type: str = "model", revision: str = "main") -> Files:
        """The files of a repository, path to content."""
        repo = self.repo(repo_id, repo_type)
        return dict(repo.commits[repo.resolve(revision)])

    def put(self, repo_id: str, files: Mapping[str, bytes | str] | Path, repo_type: str = "model") -> str:
        """Commits files (a mapping, or a folder) without a client, creating the repository if needed; returns the sha."""
        if isinstance(files, Path):
            files = {path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*") if path.is_file()}
        with self.lock:
            repo = self.repos.setdefault((repo_type, repo_id), Repo(repo_id))
            new = {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}
            return repo.commit({**repo.commits[repo.head], **new})

    def reset(self) -> None:
        """Forgets every repository, every request, and what the client had cached."""
        with self.lock:
            self.repos.clear()
            self.requests.clear()
        self.clear_cache()

    def clear_cache(self) -> None:
        """Empties the client's caches: the downloads, and the listings that its file systems remember."""
        from huggingface_hub import HfFileSystem

        HfFileSystem.clear_instance_cache()
        if self.cache is not None:
            shutil.rmtree(self.cache, ignore_errors=True)

    @contextmanager
    def offline(self) -> Iterator[None]:
        """What `HF_HUB_OFFLINE=1` does: the client refuses to send a request."""
        from huggingface_hub import constants

        before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before

    @contextmanager
    def unplugged(self) -> Iterator[None]:
        """The network is down: the client is willing, and every connection is refused.

        transformers retries for more than 20 seconds per file that is not in the cache; `offline` is the fast way to test it.
        """
        self.stop()
        try:
            yield
        finally:
            self._start()

    def _start(self) -> None:
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.hub = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Closes the port."""
        self._server.shutdown()
        self._server.server_close()

    def repo(self, repo_id: str, repo_type: str) -> Repo:
        """The repository, or the 404 that the client understands."""
        if (repo_type, repo_id) not in self.repos:
            raise HubError(404, "Repository not found", "RepoNotFound")
        return self.repos[repo_type, repo_id]


class _Server(socketserver.ThreadingTCPServer):
    """Not `HTTPServer`, whose `server_bind` looks its own name up, which can take seconds."""

    allow_reuse_address = True
    request_queue_size = 64
    daemon_threads = True
    block_on_close = False
    hub: Hub


class _Handler(BaseHTTPRequestHandler):
    """One request per connection (HTTP/1.0), so that closing the port really cuts the client off."""

    server: _Server

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub, url = self.server.hub, urlsplit(self.path)
        with hub.lock:
            hub.requests.append(f"{self.command} {unquote(url.path)}")
            try:
                status, headers, content = self._route(hub, url.path, parse_qs(url.query), body)
            except HubError as error:
                status, content = error.status, json.dumps({"error": str(error)}).encode()
                headers = {"X-Error-Message": str(error)} | ({"X-Error-Code": error.code} if error.code else {})
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _route(self, hub: Hub, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, dict[str, str], bytes]:
        method = "GET" if self.command == "HEAD" else self.command
        for verb, pattern, answer in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and verb == method:
                parts = {name: unquote(value) for name, value in match.groupdict().items() if value is not None}
                result = answer(hub, body=body, query=query, range=self.headers.get("Range"), **parts)
                return result if isinstance(result, tuple) else (200, {"Content-Type": "application/json"}, json.dumps(result).encode())
        raise HubError(404, f"{method} {path} is not served by tests/hub_server.py")


def blob_id(data: bytes) -> str:
    """The git name of a file's content; the client compares it with its own to skip unchanged files."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _whoami(hub: Hub, **_: Any) -> dict:
    return {"type": "user", "name": USER, "fullname": USER, "orgs": [], "auth": {"accessToken": {"displayName": "t", "role": "write"}}}


def _validate_yaml(hub: Hub, **_: Any) -> dict:
    return {"errors": [], "warnings": []}


def _named(body: bytes) -> RepoKey:
    asked = json.loads(body)
    return asked.get("type") or "model", f"{asked.get('organization') or USER}/{asked['name']}"


def _create(hub: Hub, body: bytes, **_: Any) -> dict | tuple[int, dict[str, str], bytes]:
    repo_type, repo_id = _named(body)
    exists = (repo_type, repo_id) in hub.repos
    hub.repos.setdefault((repo_type, repo_id), Repo(repo_id))
    answer = {"url": f"{hub.url}/{'' if repo_type == 'model' else repo_type + 's/'}{repo_id}", "name": repo_id}
    if exists:
        return 409, {"X-Error-Message": "You already created this repo"}, json.dumps(answer).encode()
    return answer


def _delete(hub: Hub, body: bytes, **_: Any) -> dict:
    repo_type, repo_id = _named(body)
    hub.repo(repo_id, repo_type)
    del hub.repos[repo_type, repo_id]
    return {}


def _info(hub: Hub, kind: str, repo: str, query: dict, revision: str = "main", **_: Any) -> dict:
    found = hub.repo(repo, TYPES[kind])
    sha = found.resolve(revision)
    files = found.commits[sha]
    card = _card(files.get("README.md", b""))
    tags = [*card.get("tags", []), *([card["library_name"]] if "library_name" in card else [])]
    siblings = [{"rfilename": p} | ({"size": len(d), "blobId": blob_id(d)} if "blobs" in query else {}) for p, d in sorted(files.items())]
    info = {"_id": sha[:24], "id": repo, "sha": sha, "siblings": siblings, "cardData": card, "tags": tags}
    info |= {"author": repo.split("/")[0], "private": False, "gated": False, "disabled": False, "downloads": 0, "likes": 0}
    info |= {"lastModified": DATE, "createdAt": DATE}
    return info | {key: card[key] for key in ("pipeline_tag", "library_name") if key in card}


def _card(readme: bytes) -> dict:
    import yaml

    match = re.match(rb"---\r?\n(.*?)\r?\n---", readme, flags=re.DOTALL)
    return yaml.safe_load(match[1]) or {} if match else {}


def _refs(hub: Hub, kind: str, repo: str, **_: Any) -> dict:
    head = hub.repo(repo, TYPES[kind]).head
    return {"branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": head}], "converts": [], "tags": []}


def _commits(hub: Hub, kind: str, repo: str, revision: str, **_: Any) -> list[dict]:
    found = hub.repo(repo, TYPES[kind])
    shas = list(found.commits)
    shas = shas[: shas.index(found.resolve(revision)) + 1]
    return [{"id": sha, "title": "", "message": "", "date": DATE, "authors": [{"user": USER}]} for sha in reversed(shas)]


def _entry(files: Files, path: str) -> dict | None:
    if path in files:
        return {"type": "file", "path": path, "size": len(files[path]), "oid": blob_id(files[path])}
    if any(name.startswith(f"{path}/") for name in files):
        return {"type": "directory", "path": path, "size": 0, "oid": blob_id(path.encode())}
    return None


def _tree(hub: Hub, kind: str, repo: str, revision: str, query: dict, folder: str = "", **_: Any) -> list[dict]:
    found = hub.repo(repo, TYPES[kind])
    files = found.commits[found.resolve(revision)]
    prefix = f"{folder}/" if folder else ""
    names = sorted(name for name in files if name.startswith(prefix))
    if folder and not names:
        raise HubError(404, f"{folder} does not exist on {revision!r}", "EntryNotFound")
    paths: dict[str, None] = {}
    for name in names:
        parts = name.removeprefix(prefix).split("/")
        depth = len(parts) if query.get("recursive", ["false"])[0].lower() == "true" else 1
        paths |= {prefix + "/".join(parts[: count + 1]): None for count in range(depth)}
    return [entry for path in paths if (entry := _entry(files, path))]


def _paths_info(hub: Hub, kind: str, repo: str, revision: str, body: bytes, **_: Any) -> list[dict]:
    found = hub.repo(repo, TYPES[kind])
    files = found.commits[found.resolve(revision)]
    return [entry for path in parse_qs(body.decode()).get("paths", []) if (entry := _entry(files, path))]


def _preupload(hub: Hub, kind: str, repo: str, revision: str, body: bytes, **_: Any) -> dict:
    found = hub.repo(repo, TYPES[kind])
    files = found.commits[found.resolve(revision)]
    answers = []
    for asked in json.loads(body)["files"]:
        oid = blob_id(files[asked["path"]]) if asked["path"] in files else None
        answers.append({"path": asked["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": oid})
    return {"files": answers}


def _commit(hub: Hub, kind: str, repo: str, revision: str, body: bytes, **_: Any) -> dict:
    found = hub.repo(repo, TYPES[kind])
    files = dict(found.commits[found.resolve(revision)])
    for line in body.splitlines():
        item = json.loads(line)
        key, value = item["key"], item["value"]
        if key == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif key in ("deletedFile", "deletedFolder"):
            path = value["path"].rstrip("/")
            gone = [name for name in files if name == path or (key == "deletedFolder" and name.startswith(f"{path}/"))]
            if not gone:
                raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
            for name in gone:
                del files[name]
        elif key != "header":
            raise HubError(400, f"commit item {key!r} is not served by tests/hub_server.py")
    sha = found.commit(files)
    return {"success": True, "commitOid": sha, "commitUrl": f"{hub.url}/{repo}/commit/{sha}"}


def _download(
    hub: Hub, repo: str, revision: str, path: str, range: str | None, kind: str = "models", **_: Any
) -> tuple[int, dict[str, str], bytes]:
    found = hub.repo(repo, TYPES[kind])
    sha = found.resolve(revision)
    if path not in found.commits[sha]:
        raise HubError(404, f"{path} does not exist on {revision!r}", "EntryNotFound")
    data = found.commits[sha][path]
    headers = {"ETag": f'"{blob_id(data)}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", range or "")
    if not asked:
        return 200, headers, data
    first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
    if first > last:
        raise HubError(416, f"bytes */{len(data)}")
    return 206, headers | {"Content-Range": f"bytes {first}-{last}/{len(data)}"}, data[first : last + 1]


_API = r"/api/(?P<kind>models|datasets|spaces)/(?P<repo>[^/]+(?:/[^/]+)?)"
_REVISION = r"(?P<revision>[^/]+)"
ROUTES = [
    ("GET", r"/api/whoami-v2", _whoami),
    ("POST", r"/api/validate-yaml", _validate_yaml),
    ("POST", r"/api/repos/create", _create),
    ("DELETE", r"/api/repos/delete", _delete),
    ("POST", rf"{_API}/preupload/{_REVISION}", _preupload),
    ("POST", rf"{_API}/commit/{_REVISION}", _commit),
    ("POST", rf"{_API}/paths-info/{_REVISION}", _paths_info),
    ("GET", rf"{_API}/tree/{_REVISION}(?:/(?P<folder>.+))?", _tree),
    ("GET", rf"{_API}/commits/{_REVISION}", _commits),
    ("GET", rf"{_API}/refs", _refs),
    ("GET", rf"{_API}/revision/{_REVISION}", _info),
    ("GET", _API, _info),
    ("GET", rf"/(?:(?P<kind>datasets|spaces)/)?(?P<repo>[^/]+(?:/[^/]+)?)/resolve/{_REVISION}/(?P<path>.+)", _download),
]
