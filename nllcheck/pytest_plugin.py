"""A fixture and a marker for pytest: one line in a test guards a loss.

    @pytest.mark.nllcheck(fail_on="warning")
    def test_the_loss_is_stable(nllcheck):
        nllcheck(loss, model=model, batch=(inputs, targets))

pytest loads this file in every run, whoever uses it: nothing heavy is imported before the fixture is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nllcheck.report import Report


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "nllcheck(**options): options of nllcheck.check for the `nllcheck` fixture")


class Checker:
    """`nllcheck.check` and `nllcheck.check_function`, with a test that fails where the report does."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def __call__(self, loss: Any, model: Any = None, batch: Any = None, **options: Any) -> Report:
        """As `nllcheck.check(loss, model=..., batch=..., **options)`; fails the test unless the report is ok."""
        from nllcheck.check import check

        return self._judged(check(loss, model, batch, **{**self.options, **options}))

    def function(self, fn: Any, tensors: Any = None, **options: Any) -> Report:
        """As `nllcheck.check_function(fn, tensors, **options)`; fails the test unless the report is ok."""
        from nllcheck.check import check_function

        return self._judged(check_function(fn, tensors, **{**self.options, **options}))

    def _judged(self, report: Report) -> Report:
        from nllcheck import suppressions
        from nllcheck.diagnose.ids import known_ids
        from nllcheck.report.terminal import render

        folders = self.options.get("rules") or ()
        (report,) = suppressions.applied((report,), lambda: known_ids(tuple(folders)))
        if report.exit_code:
            pytest.fail(render(report, width=100), pytrace=False)
        return report


@pytest.fixture
def nllcheck(request: pytest.FixtureRequest) -> Checker:
    """Checks a loss and fails the test where it finds an error; see `Checker`."""
    marker = request.node.get_closest_marker("nllcheck")
    return Checker(dict(marker.kwargs) if marker else {})
