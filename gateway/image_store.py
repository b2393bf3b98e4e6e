"""Generated images as files, named by their content, behind signed links that expire.

A link says which file, for whom and until when, and its signature covers all three, so serving one
needs no look-up, and nobody can turn it into a link to another file.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import time
from pathlib import Path

from gateway.types import Clock

KEPT_FOR = 24 * 3600
EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}
EXPIRES = re.compile(r"[0-9]{1,12}")
NAME = re.compile(r"[0-9a-f]{64}\.(?:png|jpg|webp|gif)")


class ImageStore:
    """Files below `directory`, fanned out by the first two digits of their name."""

    def __init__(self, directory: Path, signing_key: bytes, clock: Clock = time.time) -> None:
        self._directory = directory
        self._key = signing_key
        self._clock = clock

    def put(self, data: bytes, mime_type: str) -> str:
        """Keep an image and return its name. The same bytes are kept once."""
        name = f"{hashlib.sha256(data).hexdigest()}.{EXTENSIONS[mime_type]}"
        path = self._path(name)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(f".{os.getpid()}.part")
            draft.write_bytes(data)
            draft.replace(path)
        return name

    def link(self, name: str, user_id: str) -> str:
        """The path and query of a link that works for a day."""
        expires = int(self._clock()) + KEPT_FOR
        return f"/images/{name}?u={user_id}&e={expires}&s={self._sign(name, user_id, expires)}"

    def open(self, name: str, user_id: str, expires: str, signature: str) -> Path | None:
        """The file behind a link, None if the link is not ours, too old, or its file is gone."""
        if not NAME.fullmatch(name) or not EXPIRES.fullmatch(expires):
            return None
        expected = self._sign(name, user_id, int(expires))
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            return None
        if int(expires) < self._clock():
            return None
        path = self._path(name)
        return path if path.is_file() else None

    def _path(self, name: str) -> Path:
        return self._directory / name[:2] / name

    def _sign(self, name: str, user_id: str, expires: int) -> str:
        message = f"{name}\n{user_id}\n{expires}".encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:40]
