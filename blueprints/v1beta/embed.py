"""MODEL:embedContent and MODEL:batchEmbedContents."""

from __future__ import annotations

from blueprints.api import ApiResponse, parse_object, read_body
from blueprints.relay import relay_embeddings
from gateway.formats.gemini import embeddings


def embed(model: str, method: str) -> ApiResponse:
    raw = read_body()
    body = embeddings.normalise(parse_object(raw), method)
    embeddings.check_request(body)
    body["model"] = model
    return relay_embeddings(embeddings, method, raw, body)
