"""Text, images and documents as content blocks (reference/anthropic-wire.md 3.1).

What kind of file data are is read from their first bytes: the API refuses a type that is wrong.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from gateway.errors import InvalidRequest
from gateway.losses import unsupported
from gateway.media import mime_of_base64, standard_base64
from gateway.types import JSON, Media, Opaque, Part, Reasoning, Refusal, Text

IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
PDF = "application/pdf"
MAX_TITLE = 200
NOUNS = {"image": "images", "audio": "audio", "video": "video", "file": "files"}


@dataclass(frozen=True, slots=True)
class BlockWriter:
    """Writes content for one model; `model` is the name that its caller knows it by."""

    model: str
    capabilities: frozenset[str]

    def write(self, part: Part) -> JSON | None:
        """The block for a part of a user or in a tool's result, None if it says nothing.

        Raises `InvalidRequest`, naming its place, for what the model can't take.
        """
        match part:
            case Text(text=text) | Refusal(text=text):
                return text_block(text)
            case Media():
                return self._media(part)
            case Reasoning():
                return None
        where = part.where if isinstance(part, Opaque) else ""
        raise unsupported("This kind of content is not supported with this model.", where)

    def _media(self, media: Media) -> JSON:
        if media.kind in ("audio", "video"):
            raise self._cannot_take(NOUNS[media.kind], media)
        if media.data is None:
            return self._linked(media)
        return self._inline(media, media.data)

    def _linked(self, media: Media) -> JSON:
        url = media.url or ""
        if url.startswith("http://"):
            raise unsupported(
                "This model fetches files over https only. Use an https URL or send the data.",
                media.where,
            )
        if not url.startswith("https://"):
            raise unsupported("This model takes https URLs and base64 data URLs only.", media.where)
        source: JSON = {"type": "url", "url": url}
        if media.kind == "image":
            self._need("vision", "images", media)
            return {"type": "image", "source": source}
        if media.mime_type not in (None, PDF):
            raise self._cannot_take(f"files of the type {media.mime_type} by URL", media)
        self._need("pdf", "documents", media)
        return _document(source, media)

    def _inline(self, media: Media, text: str) -> JSON:
        data = standard_base64(text)
        if data is None:
            raise InvalidRequest(
                "Invalid data: expected base64.", code="invalid_value", param=media.where or None
            )
        mime = mime_of_base64(data)
        if mime in IMAGES:
            self._need("vision", "images", media)
            source = {"type": "base64", "media_type": mime, "data": data}
            return {"type": "image", "source": source}
        if mime == PDF:
            self._need("pdf", "documents", media)
            return _document({"type": "base64", "media_type": PDF, "data": data}, media)
        if mime is None and media.kind == "file" and (media.mime_type or "").startswith("text/"):
            return _document(self._plain_text(data, media), media)
        noun = f"{NOUNS[media.kind]} of the type {mime or media.mime_type or 'unknown'}"
        raise self._cannot_take(noun, media)

    def _plain_text(self, data: str, media: Media) -> JSON:
        try:
            text = base64.b64decode(data).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise unsupported("A text file must be in UTF-8 for this model.", media.where) from None
        if not text.strip():
            raise unsupported("This model takes no empty text file.", media.where)
        return {"type": "text", "media_type": "text/plain", "data": text}

    def _need(self, capability: str, noun: str, media: Media) -> None:
        if capability not in self.capabilities:
            raise self._cannot_take(noun, media)

    def _cannot_take(self, noun: str, media: Media) -> InvalidRequest:
        return unsupported(f"The model `{self.model}` does not support {noun}.", media.where)


def text_block(text: str) -> JSON | None:
    """None for white space alone, which is refused."""
    return {"type": "text", "text": text} if text.strip() else None


def _document(source: JSON, media: Media) -> JSON:
    title = (media.name or "").strip()[:MAX_TITLE]
    return {"type": "document", "source": source, **({"title": title} if title else {})}
