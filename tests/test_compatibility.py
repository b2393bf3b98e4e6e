"""The compatibility data of the docs are what the matrix finds."""

from __future__ import annotations

import json

from tests import compatibility

LEVELS = {"yes", "partly", "no"}


def test_the_file_is_what_the_matrix_finds():
    """If this fails after a change of what works where: `python -m tests.compatibility --write`."""
    found = compatibility.written(compatibility.compatibility())
    assert json.loads(compatibility.FILE.read_text()) == json.loads(found)


def test_every_level_is_known_and_everything_but_yes_has_a_reason():
    found = json.loads(compatibility.FILE.read_text())
    providers = {provider["id"] for provider in found["providers"]}
    surfaces = {surface["id"] for surface in found["surfaces"]}
    for group in found["groups"]:
        for feature in group["features"]:
            assert set(feature["support"]) <= surfaces and feature["support"]
            for by_provider in feature["support"].values():
                assert set(by_provider) == providers
                for cell in by_provider.values():
                    assert cell["level"] in LEVELS
                    assert (cell["level"] == "yes") == ("why" not in cell)
                    assert len(cell.get("why", "")) < 200
