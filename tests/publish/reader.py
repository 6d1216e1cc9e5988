"""Somebody who reads the page in Chromium."""

from __future__ import annotations

WIDE, PHONE = {"width": 1360, "height": 860}, {"width": 390, "height": 844}
SEEN = """([selector, name]) =>
  [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility()).map((one) => one.dataset[name])"""


class Reader:
    """A page somebody reads, what it asked of the network, and what went wrong in it."""

    def __init__(self, browser, folder, hash="", **context):
        self.context = browser.new_context(viewport=WIDE, accept_downloads=True, **context)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.url = f"{(folder / 'index.html').as_uri()}"
        self.page.goto(f"{self.url}#{hash}")
        # The scripts are unpacked first.
        self.page.locator("html:not(.loading)").wait_for(state="attached")

    def shown(self):
        """The names of the metrics in the table, in order."""
        return self.page.evaluate(SEEN, ["tr[data-metric]", "metric"])

    def headings(self):
        """The ids of the columns that are seen."""
        return self.page.evaluate(SEEN, ["th[data-id]", "id"])

    def heading(self, id):
        """The heading of a column."""
        return self.page.locator(f'th[data-id="{id}"]')

    def cell(self, metric, heading):
        """The button in a cell of the table."""
        return self.page.locator(f'tr[data-metric="{metric}"] td[data-heading="{heading}"] button')

    def hash(self):
        """What the URL says."""
        return self.page.evaluate("location.hash")

    def saved(self, selector):
        """The text of what a click on this saves, and its name."""
        with self.page.expect_download() as download:
            self.page.locator(selector).first.click()
        return download.value.path().read_text(encoding="utf-8"), download.value.suggested_filename
