"""Who may import whom: the design's layout, held by a walk over every file's imports.

The table says what each part of the tree must not import. Names are full module names: a relative
import is resolved first, and `from package import module` counts as an import of both.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("gateway", "models", "blueprints", "config", "app", "cli", "wsgi")
VAGUE = ("utils", "util", "helpers", "common", "services", "core", "base", "misc")

# (path pattern, what it must not import, except these); a name covers everything below it
FORBIDDEN: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (r"gateway/.*", ("flask", "sqlalchemy", "flask_sqlalchemy", "flask_login", "werkzeug"), ()),
    (r"gateway/.*", ("models", "blueprints", "config", "app", "cli", "wsgi"), ()),
    (r"models/.*", ("gateway", "blueprints", "config", "app", "cli", "wsgi"), ()),
    (r"gateway/formats/.*", ("gateway.transport", "gateway.dispatch", "requests"), ()),
    (r"gateway/formats/.*", ("socket", "gevent", "geventhttpclient", "urllib.request"), ()),
    (r"gateway/(sse|types|errors)\.py", OURS, ("gateway.types",)),
    (r"blueprints/.*", ("app", "wsgi", "cli"), ()),
    (r"blueprints/v1/.*", ("blueprints.console",), ()),
    (r"blueprints/v1beta/.*", ("blueprints.console", "blueprints.v1"), ()),
    (r"blueprints/console/.*", ("blueprints.v1", "blueprints.v1beta"), ()),
    (r"config\.py", ("gateway", "models", "blueprints", "app", "cli", "flask"), ()),
    (r".*", ("litellm",), ()),
)
JOINS = ("blueprints/relay.py", "blueprints/platform.py")
"""The only files that may know both the dispatcher and the database."""


def imports_of(source: str, path: str) -> set[str]:
    """Every module that a file imports, also inside functions and `if TYPE_CHECKING`."""
    found: set[str] = set()
    package = list(Path(path).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join(above + ([node.module] if node.module else []))
            found.add(module)
            found |= {f"{module}.{alias.name}" for alias in node.names}
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("__import__", "importlib.import_module")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(str(node.args[0].value))
    return found


def is_below(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in names)


def format_of(module: str) -> str | None:
    """`openai` for gateway.formats.openai, gateway.formats.openai.wire and ….openai_schema."""
    match = re.match(r"gateway\.formats\.([a-z]+)", module)
    return match[1] if match else None


def module_of(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def problems_with(source: str, path: str) -> list[str]:
    """What a file at `path` (from the root, with slashes) imports or reads and must not."""
    imports = imports_of(source, path)
    found = [
        f"{path} imports {module}"
        for pattern, forbidden, allowed in FORBIDDEN
        if re.fullmatch(pattern, path)
        for module in sorted(imports)
        if is_below(module, forbidden) and not is_below(module, allowed)
    ]
    if path.startswith("gateway/formats/"):
        own = format_of(module_of(path))
        others = {m for m in imports if format_of(m) not in (None, own)}
        found += [f"{path} imports another format: {module}" for module in sorted(others)]
    joins = any(is_below(m, ("gateway.dispatch",)) for m in imports)
    if joins and any(is_below(m, ("models",)) for m in imports) and path not in JOINS:
        found.append(f"{path} joins gateway.dispatch and models, which only {JOINS} may")
    if path != "config.py" and reads_environment(source):
        found.append(f"{path} reads the environment, which only config.py may")
    if {Path(path).stem, *Path(path).parts[:-1]} & set(VAGUE):
        found.append(f"{path} has a name that says nothing")
    return found


def reads_environment(source: str) -> bool:
    """Does the file use os.environ or os.getenv (or take them by name)?"""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in (
            "os.environ",
            "os.environb",
            "os.getenv",
        ):
            return True
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and {alias.name for alias in node.names} & {"environ", "environb", "getenv"}
        ):
            return True
    return False


def source_files() -> Iterator[Path]:
    yield from ROOT.glob("*.py")
    for package in ("gateway", "models", "blueprints"):
        yield from (ROOT / package).rglob("*.py")


FILES = sorted(str(path.relative_to(ROOT)) for path in source_files())


@pytest.mark.parametrize("path", FILES)
def test_file_imports_only_what_its_layer_may(path):
    assert problems_with((ROOT / path).read_text(), path) == []


def test_the_walk_sees_the_whole_tree():
    assert {"config.py", "gateway/sse.py", "models/usage.py", "blueprints/v1/chat.py"} <= set(FILES)
    assert len(FILES) > 40


BAD = {
    "a plain import": ("gateway/x.py", "import flask"),
    "from a package": ("gateway/x.py", "from sqlalchemy.orm import Session"),
    "a relative import": ("gateway/formats/x.py", "from ...models import keys"),
    "a relative import of the parent": ("models/x.py", "from ..gateway import types"),
    "inside a function": ("gateway/x.py", "def f():\n    from models.keys import ApiKey"),
    "by importlib": ("models/x.py", "import importlib\nimportlib.import_module('gateway.sse')"),
    "the settings": ("gateway/x.py", "from config import Config"),
    "one format another": ("gateway/formats/gemini.py", "from gateway.formats import openai"),
    "one format another, relatively": ("gateway/formats/gemini.py", "from . import anthropic"),
    "its helper, too": ("gateway/formats/gemini.py", "from .openai_schema import check_chat"),
    "a part of one format another": (
        "gateway/formats/gemini/reading.py",
        "from gateway.formats.openai.wire import read_usage",
    ),
    "a format the transport": ("gateway/formats/openai.py", "from gateway import transport"),
    "sse anything of ours": ("gateway/sse.py", "from gateway.errors import GatewayError"),
    "types another": ("gateway/types.py", "from gateway import metering"),
    "a view both sides": (
        "blueprints/v1/chat.py",
        "from gateway.dispatch import Call\nfrom models import db",
    ),
    "a surface another": ("blueprints/v1/chat.py", "from blueprints.console import keys"),
    "the app from below": ("blueprints/v1/chat.py", "from app import create_app"),
    "os.environ": ("blueprints/x.py", "import os\nos.environ['SECRET']"),
    "os.getenv": ("gateway/x.py", "import os\nos.getenv('SECRET')"),
    "environ by name": ("models/x.py", "from os import environ"),
    "a vague file name": ("gateway/utils.py", ""),
    "a vague package name": ("blueprints/common/x.py", ""),
    "another gateway": ("gateway/x.py", "import litellm.utils"),
}
GOOD = {
    "a part of a format another of it": (
        "gateway/formats/openai/reading.py",
        "from gateway.formats.openai.wire import x",
    ),
    "a format its own helper": ("gateway/formats/openai.py", "from .openai_schema import X"),
    "errors the types": ("gateway/errors.py", "from gateway.types import JSON"),
    "models flask": ("models/x.py", "from flask import Flask\nimport flask_sqlalchemy"),
    "the relay both": (
        "blueprints/relay.py",
        "from gateway.dispatch import Call\nfrom models import db",
    ),
    "a name that only begins alike": ("gateway/x.py", "import flaskless, modelsmith"),
    "the settings their source": ("config.py", "import os\nos.environ"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_check_catches(name):
    path, source = BAD[name]
    assert problems_with(textwrap.dedent(source), path), (path, source)


@pytest.mark.parametrize("name", GOOD)
def test_the_check_allows(name):
    path, source = GOOD[name]
    assert problems_with(textwrap.dedent(source), path) == []
