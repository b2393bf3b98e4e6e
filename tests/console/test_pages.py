"""Every page: headers, errors, docs, assets, themes. And nothing of it around the API."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import pytest
from markupsafe import escape

from blueprints.console.docs import compatibility, content
from gateway import simulator
from models.plans import SHIPPED_PLANS

PUBLIC = ["/", "/signup", "/login", "/docs", "/docs/api", "/docs/compatibility"]
PRIVATE = ["/console", "/console/keys", "/console/keys/new", "/console/usage", "/console/confirm"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", PUBLIC + PRIVATE + ["/nothing-here"])
def test_headers_of_pages(ada, path):
    page = ada.get(path, follow_redirects=True)
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
    assert re.fullmatch(r"req_\w+", page.headers["x-request-id"])
    if path in PRIVATE:
        assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", PUBLIC + PRIVATE + ["/nothing-here"])
def test_pages_are_well_made(ada, browser, path):
    text = (browser if path in PUBLIC else ada).get(path).text
    if path in ("/signup", "/login"):
        ada.log_out()
        text = ada.get(path).text
    assert text.startswith("<!doctype html>") and '<html lang="en"' in text
    assert text.count("<h1") == 1 and "<title>" in text and 'href="#main"' in text
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\bsrc=)", text)
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    for label in re.findall(r'<label for="([^"]+)"', text):
        assert label in ids


@pytest.mark.parametrize("path", PRIVATE)
def test_private_pages_want_a_login_and_come_back(browser, path):
    assert browser.get(path).location == f"/login?next={path}"


def test_links_of_every_page_lead_somewhere(ada):
    seen, todo = set(), ["/", "/docs", "/console"]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        page = ada.get(path, follow_redirects=True)
        assert page.status_code == 200, path
        if page.mimetype == "text/html":
            found = re.findall(r'href="(/[^"#]*)', page.text)
            todo += [href.replace("&amp;", "&") for href in found]
    assert {"/console/keys", "/console/usage", "/docs.md", "/llms.txt"} <= seen


# ----------------------------------------------------------------------------- errors


def test_unknown_page(browser):
    page = browser.get("/nothing-here")
    assert page.status_code == 404 and "Page not found" in page.text
    assert page.headers["x-request-id"] in page.text


def test_error_pages_offer_what_one_can_do(ada):
    assert "Go to the console" in ada.get("/nothing-here").text
    ada.log_out()
    text = ada.get("/nothing-here").text
    assert "onsole" not in text and 'href="/login"' in text and 'href="/"' in text


def test_wrong_method(browser):
    page = browser.get("/logout")
    assert page.status_code == 405 and "Method not allowed" in page.text
    assert "POST" in page.headers["Allow"]


def test_an_error_of_ours_needs_no_database(app, ada, monkeypatch):
    def broken(*_):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("models.accounts.find_session", broken)
    app.testing = False
    page = ada.get("/console")
    assert page.status_code == 500 and "Something went wrong" in page.text
    assert "secret detail" not in page.text and page.headers["x-request-id"] in page.text
    assert "Content-Security-Policy" in page.headers


# ----------------------------------------------------------------------------- theme


@pytest.mark.parametrize("theme", ["light", "dark", "system"])
def test_theme_is_kept(browser, theme):
    answer = browser.client.post("/theme", data={"theme": theme, "next": "/docs"})
    assert (answer.status_code, answer.location) == (303, "/docs")
    assert f'data-theme="{theme}"' in browser.get("/").text


def test_theme_takes_nothing_else(browser):
    assert browser.client.post("/theme", data={"theme": '"><x'}).status_code == 400
    answer = browser.client.post("/theme", data={"theme": "dark", "next": "//evil.example"})
    assert answer.location == "/"
    browser.client.set_cookie("theme", "evil")
    assert 'data-theme="system"' in browser.get("/").text


# ----------------------------------------------------------------------------- assets


def test_hashed_assets_are_kept_for_good(app, browser):
    for url in re.findall(r'(?:href|src)="(/static/[^"#]+)', browser.get("/").text):
        assert re.search(r"\.[0-9a-f]{8}\.\w+$", url)
        answer = browser.get(url)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        again = browser.get(url, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304


def test_plain_names_are_not_kept(browser):
    assert browser.get("/static/css/app.css").headers["Cache-Control"] == "no-cache"
    assert browser.get("/static/nothing.css").status_code == 404
    assert browser.get("/static/../config.py").status_code == 404


def test_references_inside_assets_are_hashed(app, browser):
    assets = app.extensions["assets"]
    for name, pattern in (("css/app.css", r'url\("([^"]+)"\)'), ("js/app.js", r'from "([^"]+)"')):
        found = re.findall(pattern, assets.by_name[name].body.decode())
        assert found
        folder = assets.url(name).rpartition("/")[0]
        for reference in found:
            answer = browser.get(posixpath.normpath(f"{folder}/{reference}"))
            assert "immutable" in answer.headers["Cache-Control"]


def test_budgets(app, ada):
    by_name = app.extensions["assets"].by_name
    size = {
        kind: sum(
            len(a.gzipped or a.body)
            for name, a in by_name.items()
            if name.startswith(kind) and not name.endswith("txt")
        )
        for kind in ("css/", "js/", "fonts/")
    }
    assert size["css/"] <= 8_192 and size["js/"] <= 20_480 and size["fonts/"] <= 76_800
    for path in ["/", "/signup", *PRIVATE]:
        assert len(ada.get(path).data) <= 30_720, path


def test_compression(browser):
    answer = browser.get("/static/css/app.css", headers={"Accept-Encoding": "gzip, br"})
    assert answer.headers["Content-Encoding"] == "gzip" and answer.headers["Vary"]


# ----------------------------------------------------------------------------- docs


def promised_errors() -> set[str]:
    """The codes of the table, as the gateway's own modules name them."""
    return {code for code, _, _ in content.ERROR_CODES}


def test_docs_tell_everything_in_both_forms(app, browser):
    html, markdown = browser.get("/docs").text, browser.get("/docs.md")
    assert markdown.mimetype == "text/markdown"
    base = app.config["CONFIG"].public_url
    for text in (html, markdown.text):
        for word in (
            "temperature",
            "max_tokens",
            "top_p",
            "stop",
            "stream",
            "messages",
            "prompt",
            "quality",
            "response_format",
            "b64_json",
            "1792x1024",
            "x-goog-api-key",
            "generateContent",
            ":countTokens",
            ":embedContent",
            ":batchEmbedContents",
            "/api/v1/embeddings",
            "encoding_format",
            "pageToken",
            "X-RateLimit-Limit-Requests",
            "X-RateLimit-Reset-Requests",
            "X-RateLimit-Remaining-Requests",
            "claude-sonnet-4-20250514",
            "dall-e-2",
            f"{base}/api/v1",
            "Bearer YOUR_API_KEY",
            "Enterprise",
        ):
            assert word in text, word
        assert "%BASE%" not in text
        assert all(code in text for code in promised_errors())
    assert all(f'id="error-{code}"' in html for code in promised_errors())


def test_every_code_that_the_gateway_raises_is_documented():
    source = "".join(
        path.read_text()
        for folder in ("gateway", "blueprints")
        for path in (ROOT / folder).rglob("*.py")
        if "console" not in path.parts
    )
    raised = set(re.findall(r'\b(?:default_)?code(?:: ClassVar\[str\])?\s*=\s*"([a-z_]+)"', source))
    assert raised - promised_errors() == set()


def test_every_sample_runs_on_its_own():
    for section in content.SECTIONS:
        for block in section.code:
            for language in {"python", "node"} & set(getattr(block, "by_language", ())):
                sample = block.by_language[language]
                assert "import " in sample and "client = " in sample, (section.id, language)
                assert "%BASE%/api" in sample and "YOUR_API_KEY" in sample
                if language == "python":
                    compile(sample, section.id, "exec")


def test_docs_give_every_magic_word_and_header(browser):
    text = browser.get("/docs.md").text
    assert all(f"| `{word}` |" in text for word in simulator.MAGIC)
    assert "needs `tools`" in text
    for name in ("provider", "attempts", "mode", "warnings", "cost-usd"):
        assert f"| `x-gateway-{name}` |" in text


def test_docs_give_the_shipped_limits(browser):
    text = browser.get("/docs.md").text
    for plan in SHIPPED_PLANS[:3]:
        assert f"| {plan['name']} | {plan['chat_rpm']} | {plan['image_rpm']} |" in text


def test_llms_txt_leads_to_the_markdown(browser):
    text = browser.get("/llms.txt").text
    assert text.startswith("# Switchyard\n\n> ") and "/docs.md" in text
    assert 'rel="alternate" type="text/markdown"' in browser.get("/docs").text


# ----------------------------------------------------------------------------- beside the API


def test_nothing_of_the_console_runs_around_api_requests(app, ada):
    secret, _ = ada.create_key(mode="test")
    answer = ada.client.get("/api/v1/models", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers and "Content-Security-Policy" not in answer.headers
    modules = {
        function.__module__
        for hooks in (app.before_request_funcs, app.after_request_funcs)
        for function in hooks.get(None, [])
    }
    assert not [m for m in modules if m.startswith(("flask_", "blueprints.console"))]


def test_a_session_is_no_api_key(ada):
    assert ada.get("/api/v1/models").status_code == 401


def test_the_table_of_what_works_says_the_same_as_a_page_and_as_markdown(browser):
    page, markdown = browser.get("/docs/compatibility").text, browser.get("/docs/compatibility.md")
    assert markdown.mimetype == "text/markdown"
    found = compatibility.load()
    assert len(found.providers) == 5 and sum(len(group.rows) for group in found.groups) > 30
    for group in found.groups:
        for row in group.rows:
            cells = " | ".join(cell.text for cell in row.cells)
            assert f"| {row.feature} | {cells} |" in markdown.text
            assert str(escape(row.feature)) in page
            assert all(str(escape(note)) in page for note in row.notes)
    assert page.count(">No</span>") == sum(
        level == "no"
        for g in found.groups
        for r in g.rows
        for c in r.cells
        for _, level in c.levels
    )
