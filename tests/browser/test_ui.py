"""Looks at the deployed server as a person does, with a browser, at the run that examples/train_digits.py logged.

MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD say where and who. The screenshot of the
run is written to the file that MLOPS_STACK_SCREENSHOT names, where it is set.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
# Chromium's own sandbox needs privileges that containers lack; the rest keeps it from calling home.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
]
SIZE = {"width": 1440, "height": 1010}
PATIENCE_MS = 30_000
# The assistant opens by itself beside the first page that a browser sees; here it is as if it had been closed.
ASSISTANT_CLOSED = """
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""
expect.set_options(timeout=PATIENCE_MS)


def setting(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        pytest.fail(f"{name} is not set: the browser test needs a deployed server", pytrace=False)
    return value


@pytest.fixture(scope="module", name="browser")
def fixture_browser():
    if not Path(CHROMIUM).exists():
        pytest.fail(f"{CHROMIUM} is missing: install the package chromium", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def opened(browser: Browser, username: str | None, password: str = "") -> Page:
    """A page of a browser that answers the server's question for a login with these, or with nothing."""
    options = {} if username is None else {"http_credentials": {"username": username, "password": password}}
    page = browser.new_context(viewport=SIZE, ignore_https_errors=True, **options).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.add_init_script(ASSISTANT_CLOSED)
    return page


@pytest.fixture(name="page")
def fixture_page(browser: Browser):
    page = opened(browser, setting("MLFLOW_TRACKING_USERNAME"), setting("MLFLOW_TRACKING_PASSWORD"))
    yield page
    page.context.close()


def test_a_visitor_is_asked_to_sign_in(browser: Browser) -> None:
    page = opened(browser, None)
    answer = page.request.get(setting("MLFLOW_TRACKING_URI"))
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic")
    # The browser asks its user for a name and a password; a headless one, which cannot, gives up.
    with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
        page.goto(setting("MLFLOW_TRACKING_URI"))
    page.context.close()


def test_a_wrong_password_is_refused(browser: Browser) -> None:
    page = opened(browser, setting("MLFLOW_TRACKING_USERNAME"), "not the password")
    answer = page.goto(setting("MLFLOW_TRACKING_URI"))
    assert answer is not None
    assert answer.status == 401
    expect(page.get_by_text("You are not authenticated")).to_be_visible()
    page.context.close()


def test_the_digits_run_is_shown(page: Page) -> None:
    uri = setting("MLFLOW_TRACKING_URI").rstrip("/")
    faults: list[str] = []
    page.on("response", lambda one: faults.append(f"{one.status} {one.url}") if one.status >= 500 else None)

    page.goto(uri)
    page.get_by_text("Model training").first.click()
    expect(page.get_by_text(setting("MLFLOW_TRACKING_USERNAME")).first).to_be_visible()
    page.goto(uri + "/#/experiments")
    page.get_by_role("link", name="digits", exact=True).first.click()
    page.get_by_role("link", name="mlp-64").first.click()

    # The run: its parameters, then its charts
    expect(page.get_by_text("learning_rate").first).to_be_visible()
    expect(page.get_by_text("validation_accuracy").first).to_be_visible()
    page.get_by_role("tab", name="Model metrics").click()
    for metric in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
        expect(page.get_by_role("heading", name=metric, exact=True).or_(page.get_by_text(metric)).first).to_be_visible()
    lines = page.locator(".js-plotly-plot .scatterlayer path.js-line")
    expect(lines.first).to_be_visible()
    assert lines.count() >= 3
    target = os.environ.get("MLOPS_STACK_SCREENSHOT")
    if target:
        # The charts grow into their place for a moment.
        page.wait_for_timeout(1500)
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=target)

    # The plot
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("confusion_matrix.png").first.click()
    plot = page.locator("img[src^='blob:'], img[alt*='confusion'], .image-outer-container img").first
    expect(plot).to_be_visible()
    assert plot.evaluate("image => image.complete && image.naturalWidth") >= 500

    # The registered model
    page.goto(uri + "/#/models/digits")
    expect(page.get_by_text("Version 1").or_(page.get_by_role("link", name="Version")).first).to_be_visible()
    assert not faults
