"""A real browser walks through the console: with and without JavaScript, in both themes, at 320 px.

Every page is watched: a violation of the content security policy or an error in a script fails.
"""

from __future__ import annotations

import re

import pytest

from tests.conftest import require

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
  (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
PAGES = [
    "/",
    "/docs",
    "/docs/compatibility",
    "/login",
    "/signup",
    "/nothing-here",
    "/console",
    "/console/keys",
    "/console/keys/new",
    "/console/usage",
    "/console/usage?days=90",
    "/console/confirm",
]


@pytest.fixture(scope="session")
def chromium():
    require("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, server):
    """`open_page(width=…, java_script_enabled=…, color_scheme=…)` gives a watched page."""
    problems: list[str] = []
    contexts = []

    def launch(width=1280, **options):
        context = chromium.new_context(
            base_url=server.root_url, viewport={"width": width, "height": 800}, **options
        )
        context.set_default_timeout(10_000)
        contexts.append(context)
        if options.get("java_script_enabled", True):
            context.add_init_script(WATCH)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console", lambda m: problems.append(m.text) if "Security Policy" in m.text else None
        )
        return page

    yield launch
    for context in contexts:
        context.close()
    assert problems == []


def log_in(page, email):
    page.goto("/login")
    page.fill("#email", email)
    page.fill("#password", PASSWORD)
    page.click("main button.primary")
    page.wait_for_url("**/console")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_from_signup_to_a_revoked_key(open_page, server, tag, scripts):
    page = open_page(java_script_enabled=scripts)
    page.goto("/")
    page.click("main >> text=Sign up")
    page.fill("#email", f"{tag}@example.com")
    page.fill("#name", "Tess")
    page.fill("#password", PASSWORD)
    page.click("text=Create account")
    page.wait_for_url("**/console")
    assert page.locator("h1").inner_text() == "Get started"

    page.click("text=Create a key")
    page.fill("#name", "walk")
    page.check("input[value=test]")
    page.click("button:text('Create key')")
    secret = page.locator("#new-key").inner_text()
    assert re.fullmatch(r"sy_test_\w{36}", secret)
    page.check("[value=python]")
    assert secret in page.locator("[data-lang=python]").inner_text()
    assert page.locator("[data-lang=curl]").is_hidden()
    assert server.chat(secret).status_code == 200

    page.click("text=I’ve saved it")
    assert secret not in page.content()
    assert page.locator(".status").inner_text() == "Active"
    page.click(".row-link")
    page.click("text=Rotate…")
    page.click("button:text('Rotate key')")
    new = page.locator("#new-key").inner_text()
    assert new != secret
    assert server.chat(secret).status_code == server.chat(new).status_code == 200

    page.goto("/console")
    assert page.locator("h1").inner_text() == "Overview"
    page.goto("/console/keys")
    page.click(".row-link")
    page.click("text=Revoke…")
    page.click("button:text('Revoke key')")
    assert page.locator(".status").inner_text() == "Revoked"
    assert server.chat(new).status_code == 401

    page.click("aside >> text=Log out")
    page.goto("/console")
    assert "/login?next=/console" in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_pages_fit_and_keep_the_policy(open_page, server, width, scheme):
    page = open_page(width, color_scheme=scheme)
    email = server.user("standard")
    server.chat(server.test_key("standard"))
    public = PAGES[:6]
    for path in PAGES:
        if path not in public and "/console" not in page.url:
            log_in(page, email)
        page.goto(path)
        sizes = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert sizes[0] <= sizes[1], f"{path} scrolls sideways at {width} px"
        assert page.evaluate("window.violations") == [], path
        small = page.evaluate("""[...document.querySelectorAll("a, button, summary")]
          .filter((e) => e.offsetParent)
          .filter((e) => !e.closest("p, td, .legend, .crumb, li p, h2, .skip, tbody th"))
          .map((e) => [e.textContent.trim() || e.ariaLabel, e.getBoundingClientRect()])
          .filter(([, box]) => box.width && (box.height < 24 || box.width < 24))
          .map(([name]) => name)""")
        assert small == [], f"targets below 24 px on {path}"


def test_codes_in_tables_stay_whole(open_page):
    page = open_page(1280)
    page.goto("/docs")
    broken = page.evaluate("""[...document.querySelectorAll("td code")]
      .filter((e) => /^\\w+$/.test(e.textContent) && e.getClientRects().length > 1)
      .map((e) => e.textContent)""")
    assert broken == []
    over = """[...document.querySelectorAll(".prose .scroll")]
      .filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.ariaLabel)"""
    assert page.evaluate(over) == []


def test_usage_by_model_can_be_read_on_a_phone(open_page, server):
    page = open_page(390)
    email = server.user("pro")
    server.record(server.chat(server.test_key("pro")).headers["x-request-id"])
    log_in(page, email)
    page.goto("/console/usage")
    cells = page.locator(".by-model td")
    assert cells.count() and all(cell.is_visible() for cell in cells.all())
    table = "document.querySelector('.scroll:has(.by-model)')"
    assert page.evaluate(f"{table}.scrollWidth <= {table}.clientWidth")


def test_the_created_page_fits_a_small_phone(open_page, server):
    page = open_page(320)
    log_in(page, server.user("standard"))
    page.goto("/console/keys/new")
    page.fill("#name", "n" * 50)
    page.click("button:text('Create key')")
    for path in (None, "/console/keys"):
        if path:
            page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click("summary")
    page.click(".drawer >> text=Usage")
    page.wait_for_url("**/console/usage")


def test_copy_works_without_the_clipboard_api(open_page, server):
    page = open_page()
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.goto("/")
    page.click(".base-url .copy")
    page.wait_for_selector(".toast.on")
    assert page.locator(".toast").inner_text() == "Copied"


def test_the_theme_changes_at_once_and_stays(open_page):
    page = open_page(color_scheme="light")
    page.goto("/")
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(250, 250, 250)"
    with page.expect_response("**/theme"):
        page.click("[aria-label='Dark theme']")
    assert page.evaluate(background) == "rgb(11, 12, 15)"
    page.goto("/docs")
    assert page.evaluate(background) == "rgb(11, 12, 15)"


def test_the_theme_needs_no_scripts(open_page):
    page = open_page(java_script_enabled=False)
    page.goto("/docs")
    page.click("[aria-label='Dark theme']")
    assert page.url.endswith("/docs")
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_one_choice_of_language_for_all_samples(open_page):
    page = open_page()
    page.goto("/docs")
    page.locator("#images-1 [value=node]").check()
    assert page.locator("#chat-completions-1 [data-lang=node]").is_visible()
    page.goto("/")
    assert page.locator("[data-lang=node]").is_visible()


def test_keyboard_reaches_content_and_errors(open_page):
    page = open_page()
    page.goto("/login")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "email"
    page.keyboard.type("nobody@example.com")
    page.fill("#password", "wrong password")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "alert"


def test_the_chart_tells_the_day_under_the_pointer(open_page, server):
    email = server.user("pro")
    request_id = server.chat(server.test_key("pro")).headers["x-request-id"]
    server.record(request_id)
    page = open_page()
    log_in(page, email)
    page.wait_for_selector("html.js")
    page.hover(".plot svg")
    page.wait_for_selector(".tip >> text=gpt-4o")
