"""Deterministic signatures: what a fake has issued it knows again, without remembering anything."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from tests.fakes.shapes import decode

SECRET = b"only the fake upstreams know this"
MAC = 16


def issue(vendor: str, claims: dict[str, Any]) -> str:
    """An opaque base64 string that `read` turns back into the claims."""
    payload = json.dumps(claims, sort_keys=True).encode()
    return base64.b64encode(_mac(vendor, payload) + payload).decode()


def read(vendor: str, signature: str, *, url_safe: bool = False) -> dict[str, Any] | None:
    """The claims; None for a signature that this vendor has not issued."""
    data = decode(signature, url_safe=url_safe) or b""
    mac, payload = data[:MAC], data[MAC:]
    if not hmac.compare_digest(mac, _mac(vendor, payload)):
        return None
    claims: dict[str, Any] = json.loads(payload)
    return claims


def digest(value: Any) -> str:
    """A short name for a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _mac(vendor: str, payload: bytes) -> bytes:
    return hmac.new(SECRET, vendor.encode() + b"\0" + payload, hashlib.sha256).digest()[:MAC]
