"""Strict fake upstreams that can fail in every way we know of.

Run as `python -m tests.fakes --port 0` from the root of the tree; prints its port, stops on
SIGTERM. Standard library only. Each dialect refuses what the real service refuses and plays the
scenario that the last user message names as `scenario:NAME[:ARG]`. A `tag:WORD` beside it lets a
test find its own requests again (see `server`).

    play       what the dialects share: Request, Refusal, Reply, Play, schema instances
    shapes     the shapes of JSON bodies: types, bounds, no unknown names
    openai     OpenAI, DeepSeek and local servers: /v1/chat/completions, /v1/images/generations,
               /v1/embeddings
    compatible what those three refuse beyond that, each for itself (for tests without a server)
    anthropic  Claude: /v1/messages, /v1/messages/count_tokens
    gemini     Gemini: /v1beta/models/MODEL:METHOD
    faults     the scenarios that fail, the same for every dialect
    server     HTTP, the ledger, the control endpoints
"""
