"""Static files under names that carry their content's hash, so that browsers keep them for good.

`asset("css/app.css")` is `/static/css/app.3f9c2a1b.css`. Everything is read once at start; `url()`
in style sheets and `import` in scripts point to the hashed names too, and text is kept compressed.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, Response, abort, request

REFERENCE = re.compile(r"""(url\(["']?|from\s*["']|import\s*["'])(\.{1,2}/[^"')#?]+)""")
REWRITTEN = {".css", ".js"}
COMPRESSED = {".css", ".js", ".svg", ".txt"}
TYPES = {".js": "text/javascript", ".woff2": "font/woff2", ".svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    url_path: str
    mime_type: str
    body: bytes
    gzipped: bytes | None
    digest: str


class Assets:
    """All files below a folder, by plain name and by hashed name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_name: dict[str, Asset] = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            self._load(path.relative_to(folder).as_posix())
        self.by_hashed_name = {a.url_path: a for a in self.by_name.values()}

    def url(self, name: str) -> str:
        """The hashed URL of a file; KeyError if there is no such file."""
        return f"/static/{self.by_name[name].url_path}"

    def serve(self, filename: str) -> Response:
        """The view behind `/static/`. A plain name works too, but is not cached for long."""
        hashed = self.by_hashed_name.get(filename)
        found = hashed or self.by_name.get(filename)
        if found is None:
            abort(404)
        return _respond(found, FOREVER if hashed else "no-cache")

    def _load(self, name: str) -> Asset:
        if name in self.by_name:
            return self.by_name[name]
        path = self.folder / name
        body = path.read_bytes()
        if path.suffix in REWRITTEN:
            text = REFERENCE.sub(lambda m: m[1] + self._relative(m[2], name), body.decode())
            body = text.encode()
        digest = hashlib.sha256(body).hexdigest()[:8]
        stem, suffix = posixpath.splitext(name)
        self.by_name[name] = Asset(
            url_path=f"{stem}.{digest}{suffix}",
            mime_type=TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain",
            body=body,
            gzipped=gzip.compress(body, 9, mtime=0) if suffix in COMPRESSED else None,
            digest=digest,
        )
        return self.by_name[name]

    def _relative(self, reference: str, name: str) -> str:
        """A reference made in file `name`, pointing to the hashed name of what it means."""
        here = posixpath.dirname(name)
        target = self._load(posixpath.normpath(posixpath.join(here, reference)))
        relative = posixpath.relpath(target.url_path, here)
        return relative if relative.startswith(".") else f"./{relative}"


def _respond(found: Asset, cache_control: str) -> Response:
    accepts_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
    zipped = found.gzipped if accepts_gzip else None
    response = Response(zipped or found.body, content_type=found.mime_type)
    response.headers["Cache-Control"] = cache_control
    response.headers["X-Content-Type-Options"] = "nosniff"
    if found.gzipped:
        response.headers["Vary"] = "Accept-Encoding"
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    response.set_etag(found.digest + ("-gz" if zipped else ""))
    return response.make_conditional(request)


def init_app(app: Flask) -> None:
    """Take over Flask's `/static/` route and give templates `asset()`."""
    assets = Assets(Path(app.static_folder or "static"))
    app.view_functions["static"] = assets.serve
    app.jinja_env.globals["asset"] = assets.url
    app.extensions["assets"] = assets
