"""Providers as rows: who runs models, where, in which format, and how to present the credential.

A compatible provider costs one row. What differs from its format's rules is data in the row (paths,
headers, `quirks`), never a branch on a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

FormatName = Literal["openai", "gemini", "anthropic", "stability", "simulator"]

QUIRKS: Mapping[str, str] = {
    "developer_as_system": "does not know the role `developer`: send `system`",
    "max_tokens": "knows `max_tokens`, not `max_completion_tokens`",
    "no_json_schema": "knows `json_object` only: the schema goes into the system message",
    "plain_chat": "has neither web search, sound nor custom tools",
    "says_json": "answers with any JSON object only where a message speaks of JSON",
    "string_content": "assistant and tool content must be a string, never null or parts",
    "thinking_toggle": "`thinking: {type: enabled|disabled}` decides whether it reasons (it does)",
    "effort_low_high_max": "knows the efforts low, high and max only",
    "no_forced_tools_thinking": "refuses a forced tool choice while thinking",
    "replay_reasoning": "wants `reasoning_content` back on assistant messages with tool calls",
    "no_choices": "knows no `n`, `seed` or `logit_bias`",
    "reasoning_parameters": "models that reason take other parameters than those that don't",
    "sampling_without_effect": "takes sampling parameters while thinking, and ignores them",
    "no_signatures": "knows no signatures beside tool calls",
    "top_k": "knows `top_k`",
    "text_tools": "takes text from tools: what they show goes into a message of the user",
    "no_files": "takes text, and pictures where the model sees, nothing else",
    "no_thoughts": "refuses in the history what another model thought",
    "reasoning_field": "reads `reasoning` as well as `reasoning_content` in the history",
}
"""Every quirk a row may name, and what it asks of whoever writes a request for that provider."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A company or server that runs models. The credential is never part of its text.

    `exact` means: its wire keeps every rule of its format, so bytes may pass through untouched.
    The paths follow `base_url`; `{model}` and `{method}` in them are for the caller to fill, and an
    empty one is not served. `auth_prefix` stands before the credential in the header `auth_header`.
    """

    name: str
    owned_by: str
    format: FormatName
    base_url: str
    credential_variable: str
    chat_path: str
    models_path: str
    embeddings_path: str = ""
    count_path: str = ""
    credential: str = field(default="", repr=False)
    exact: bool = False
    auth_header: str = "authorization"
    auth_prefix: str = "Bearer "
    fixed_headers: tuple[tuple[str, str], ...] = ()
    quirks: frozenset[str] = frozenset()
    needs_credential: bool = True

    def headers(self) -> dict[str, str]:
        """The headers that every call to this provider carries, the credential among them."""
        headers = dict(self.fixed_headers)
        if self.credential:
            headers[self.auth_header] = self.auth_prefix + self.credential
        return headers


ROWS: Mapping[str, Provider] = {
    row.name: row
    for row in (
        Provider(
            name="openai",
            owned_by="openai",
            format="openai",
            base_url="https://api.openai.com/v1",
            credential_variable="OPENAI_API_KEY",
            chat_path="/chat/completions",
            models_path="/models",
            embeddings_path="/embeddings",
            exact=True,
            quirks=frozenset(
                {"reasoning_parameters", "no_signatures", "no_thoughts", "says_json", "text_tools"}
            ),
        ),
        Provider(
            name="anthropic",
            owned_by="anthropic",
            format="anthropic",
            base_url="https://api.anthropic.com",
            credential_variable="ANTHROPIC_API_KEY",
            chat_path="/v1/messages",
            models_path="/v1/models",
            count_path="/v1/messages/count_tokens",
            auth_header="x-api-key",
            auth_prefix="",
            # The later version refuses sampling parameters on every model, also where they work.
            fixed_headers=(("anthropic-version", "2023-06-01"),),
        ),
        Provider(
            name="gemini",
            owned_by="google",
            format="gemini",
            base_url="https://generativelanguage.googleapis.com",
            credential_variable="GEMINI_API_KEY",
            chat_path="/v1beta/models/{model}:{method}",
            models_path="/v1beta/models",
            embeddings_path="/v1beta/models/{model}:{method}",
            count_path="/v1beta/models/{model}:countTokens",
            exact=True,
            auth_header="x-goog-api-key",
            auth_prefix="",
        ),
        Provider(
            name="deepseek",
            owned_by="deepseek",
            format="openai",
            base_url="https://api.deepseek.com/v1",
            credential_variable="DEEPSEEK_API_KEY",
            chat_path="/chat/completions",
            models_path="/models",
            embeddings_path="/embeddings",
            exact=True,
            quirks=frozenset(
                {
                    "developer_as_system",
                    "max_tokens",
                    "no_json_schema",
                    "string_content",
                    "thinking_toggle",
                    "effort_low_high_max",
                    "no_forced_tools_thinking",
                    "replay_reasoning",
                    "no_choices",
                    "plain_chat",
                    "sampling_without_effect",
                    "no_signatures",
                    "says_json",
                    "text_tools",
                    "no_files",
                }
            ),
        ),
        Provider(
            name="stability",
            owned_by="stability",
            format="stability",
            base_url="https://api.stability.ai",
            credential_variable="STABILITY_API_KEY",
            chat_path="",
            models_path="",
        ),
        Provider(
            name="local",
            owned_by="local",
            format="openai",
            base_url="",
            credential_variable="LOCAL_API_KEY",
            chat_path="/chat/completions",
            models_path="/models",
            embeddings_path="/embeddings",
            quirks=frozenset({"developer_as_system", "max_tokens", "reasoning_field", "top_k"}),
            needs_credential=False,
        ),
    )
}

SIMULATOR = Provider(
    name="simulator",
    owned_by="switchyard",
    format="simulator",
    base_url="",
    credential_variable="",
    chat_path="",
    models_path="",
    needs_credential=False,
)
"""Answers test-mode keys, in process. Never one of the configured providers."""


def connect(settings: Mapping[str, str]) -> dict[str, Provider]:
    """The configured providers by name, in the order of `ROWS`.

    `settings` holds `<name>_api_key` and `<name>_base_url`; a missing or empty base URL means the
    row's own. A provider is configured once its credential is there, `local` once its URL is.
    """
    rows = (_connected(row, settings) for row in ROWS.values())
    return {row.name: row for row in rows if _is_configured(row)}


def _is_configured(provider: Provider) -> bool:
    """Whether calls can be sent: a URL, and a credential where one is needed."""
    return bool(provider.base_url) and bool(provider.credential or not provider.needs_credential)


def unconfigured(name: str) -> str:
    """The variable to set before provider `name` can be called."""
    row = ROWS[name]
    return row.credential_variable if row.needs_credential else f"{name.upper()}_BASE_URL"


def _connected(row: Provider, settings: Mapping[str, str]) -> Provider:
    return replace(
        row,
        base_url=(settings.get(f"{row.name}_base_url") or row.base_url).rstrip("/"),
        credential=settings.get(f"{row.name}_api_key") or "",
    )
