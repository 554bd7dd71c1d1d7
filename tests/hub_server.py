"""A stand-in for the Hugging Face hub: the routes that its client calls to make, fill, describe and read models.

Large files take the route of Git LFS, small ones stand in the commit. https://huggingface.co/docs/hub/api
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_stand_in"  # the one token that the hub accepts
_LFS = (".safetensors", ".onnx")


@dataclass
class Repository:
    """A repository: whether it is private or asks for consent, and the files of each commit, the newest last."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit on top of the newest one, and return its hash."""
        before = next(reversed(self.commits.values()), {})
        name = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits[name] = {**before, **files}
        return name

    def files(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return the hash and the files of a revision."""
        name = next(reversed(self.commits), "0" * 40) if revision == "main" else revision
        return (name, self.commits.get(name, {})) if name in self.commits or revision == "main" else None


class Hub(ThreadingHTTPServer):
    """The server; `downloads` lists the files whose content was asked for, `status` is that of all answers if set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.downloads: list[str] = []
        self.requests: list[str] = []
        self.status: int | None = None
        self.full = False  # no room for large files
        self.page: bytes | None = None  # answer to all requests to read, such as the page of a proxy
        self.sizes: dict[str, int] = {}  # sizes that the hub states of files, in place of the true ones

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self._read("HEAD")

    def do_GET(self) -> None:
        self._read("GET")

    def do_PUT(self) -> None:
        body = self._body()
        if self.server.full:
            self._error(507)
            return
        self.server.blobs[self.path.rsplit("/", 1)[-1]] = body
        self._json({})

    def do_POST(self) -> None:
        path, body = urlsplit(self.path).path, self._body()
        self.server.requests.append(f"POST {path}")
        if self.server.status:
            self._error(self.server.status)
        elif path == "/api/validate-yaml":
            wrong = "license: none" in json.loads(body)["content"]
            found = [{"message": '"license" must be one of [apache-2.0, …]'}] if wrong else []
            warned = [] if body.count(b"license:") else [{"message": "no license is stated"}]
            self._json({"errors": found, "warnings": warned}, 400 if wrong else 200)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._error(401, message="Invalid credentials in Authorization header")
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif match := re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", path):
            self._batch(json.loads(body))
        elif match := re.fullmatch(r"/api/models/(.+)/preupload/main", path):
            self._preupload(json.loads(body))
        elif match := re.fullmatch(r"/api/models/(.+)/commit/main", path):
            self._commit(match[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._error(404)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] == "others":
            self._error(403, message="you may not write there")
        elif name in self.server.repositories:
            self._answer(409, json.dumps({"url": f"{self.server.url}/{name}"}).encode(), {})
        else:
            private = asked.get("private", asked.get("visibility") == "private")
            self.server.repositories[name] = Repository(private=private)
            self._json({"url": f"{self.server.url}/{name}", "name": name})

    def _preupload(self, asked: dict[str, Any]) -> None:
        modes = {file["path"]: "lfs" if file["path"].endswith(_LFS) else "regular" for file in asked["files"]}
        files = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
        self._json({"files": files})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.url}/lfs/{one['oid']}"}}} for one in asked["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        files = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
        made = self.server.repositories[name].commit(files)
        self._json({"commitUrl": f"{self.server.url}/{name}/commit/{made}", "commitOid": made, "success": True})

    def _read(self, method: str) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{method} {path}")
        described = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path)
        resolved = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        match = described or resolved
        if self.server.page is not None:
            self._answer(200, self.server.page, {})
            return
        if self.server.status or match is None:
            self._error(self.server.status or 404)
            return
        repository = self.server.repositories.get(match[1])
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if "Authorization" in self.headers and not known:
            self._error(401, message="Invalid credentials in Authorization header")
        elif repository is None or (repository.private and not known):
            self._error(401 if not known else 404, "RepoNotFound")
        elif repository.gated:
            self._error(403, "GatedRepo")
        elif (found := repository.files(match[2] or "main")) is None:
            self._error(404, "RevisionNotFound")
        elif described:
            self._describe(match[1], repository, *found)
        else:
            self._send_file(method, match[3], *found)

    def _describe(self, name: str, repository: Repository, commit: str, files: dict[str, bytes]) -> None:
        sizes = {path: self.server.sizes.get(path, len(content)) for path, content in files.items()}
        siblings = [{"rfilename": path, "size": size, "blobId": "0"} for path, size in sizes.items()]
        self._json({"id": name, "sha": commit, "private": repository.private, "siblings": siblings, "tags": []})

    def _send_file(self, method: str, path: str, commit: str, files: dict[str, bytes]) -> None:
        if path not in files:
            self._error(404, "EntryNotFound")
            return
        content, status = files[path], 200
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        if bounds := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            first, last = int(bounds[1]), min(int(bounds[2]), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        elif method == "GET":
            self.server.downloads.append(path)
        self._answer(status, content, headers, with_body=method == "GET")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, tree: Any, status: int = 200) -> None:
        self._answer(status, json.dumps(tree).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str = "", message: str = "") -> None:
        named = {"X-Error-Code": code, "X-Error-Message": message}
        self._answer(status, b"", {name: value for name, value in named.items() if value})

    def _answer(self, status: int, content: bytes, headers: dict[str, str], *, with_body: bool = True) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep the output of the tests clean."""


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Run a Hub during the block."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


def use(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead the client of the hub in this process to a stand-in, with an empty cache and without a token."""
    from huggingface_hub import constants

    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    for name, value in {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
        "HF_HUB_CACHE": str(cache),
        "HF_TOKEN_PATH": str(cache / "token"),
        "HF_STORED_TOKENS_PATH": str(cache / "tokens"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,  # the stand-in has Git LFS only
        "HF_URL_HOSTS": frozenset({"127.0.0.1"}),
    }.items():
        monkeypatch.setattr(constants, name, value, raising=False)  # not every version has each of them
    monkeypatch.delenv("HF_TOKEN", raising=False)


def environment(hub: Hub, cache: Path) -> dict[str, str]:
    """Return the environment that leads the client of the hub in another process to a stand-in."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
