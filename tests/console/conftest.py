"""A browser without a screen: it keeps cookies and sends forms with all their hidden fields."""

from __future__ import annotations

import dataclasses
import re
from html import unescape

import pytest

PASSWORD = "correct horse battery"
INPUT = re.compile(r"<input([^>]*)>")
ATTRIBUTE = re.compile(r'([\w-]+)(?:="([^"]*)")?')


def form_fields(html: str) -> dict[str, str]:
    """What a browser would send of the page's inputs, the theme and log-out forms apart."""
    main = html[html.index("<main") : html.index("</main>")]
    fields: dict[str, str] = {}
    for match in INPUT.finditer(main):
        given = {name: unescape(value) for name, value in ATTRIBUTE.findall(match[1])}
        if given.get("type") == "radio" and "checked" not in given:
            continue
        fields[given["name"]] = given.get("value", "")
    return fields


class Browser:
    def __init__(self, app):
        self.app = app
        self.client = app.test_client()

    def get(self, path, **options):
        return self.client.get(path, **options)

    def send(self, path, action=None, headers=None, **values):
        """Open the page at `path`, fill in `values`, send its form."""
        page = self.get(path)
        assert page.status_code == 200, (path, page.status_code, page.location)
        data = form_fields(page.text) | values
        return self.client.post(action or path, data=data, headers=headers)

    def sign_up(self, email="ada@example.com", password=PASSWORD, name="Ada", **more):
        return self.send("/signup", email=email, password=password, name=name, **more)

    def log_in(self, email="ada@example.com", password=PASSWORD, path="/login"):
        return self.send(path, action="/login", email=email, password=password)

    def log_out(self):
        page = self.get("/console").text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
        return self.client.post("/logout", data={"csrf_token": token})

    def create_key(self, name="backend", mode="live"):
        """Returns the secret and the key's id."""
        page = self.send("/console/keys/new", name=name, mode=mode)
        assert page.status_code == 200, page.text
        return new_secret(page), self.key_ids()[0]

    def key_ids(self):
        return re.findall(r'href="/console/keys/(key_\w+)"', self.get("/console/keys").text)


def new_secret(page) -> str:
    return re.search(r'<code id="new-key"[^>]*>(sy_\w+)</code>', page.text)[1]


@pytest.fixture
def browser(app):
    return Browser(app)


@pytest.fixture
def ada(browser):
    """Logged in: the first account, so the operator."""
    assert browser.sign_up().status_code == 303
    return browser


@pytest.fixture
def eve(app, ada):
    """Somebody else, logged in."""
    other = Browser(app)
    assert other.sign_up("eve@example.com").status_code == 303
    return other


@pytest.fixture
def configure(app):
    """`configure(signup="closed")` changes settings of the running app."""

    def change(**settings):
        app.config["CONFIG"] = dataclasses.replace(app.config["CONFIG"], **settings)

    return change
