"""The OpenAI dialect of the fake upstreams under its old name; see `tests.fakes`."""

from __future__ import annotations

import sys

from tests.fakes.openai import DEEPSEEK_KEY, LOCAL_KEY, OPENAI_KEY
from tests.fakes.play import UNICODE
from tests.fakes.server import main

__all__ = ["DEEPSEEK_KEY", "LOCAL_KEY", "OPENAI_KEY", "UNICODE"]

if __name__ == "__main__":
    sys.exit(main())
