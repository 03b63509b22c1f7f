"""What a machine without Debian's packages is told of the tests that it cannot run."""

from __future__ import annotations

import pytest

from tests.support import debian


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception) as skipped:
        debian.need_debian("no-such-package", "neither-this")
    reasons = [f"Skipped: {skipped.value}", "Skipped: needs the extra `lab`", f"Skipped: {skipped.value}"]
    assert debian.missing_packages(reasons) == ["neither-this", "no-such-package"]


def test_a_missing_package_fails_a_test_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs Debian's no-such-package"):
        debian.need_debian("no-such-package")


def test_programs_of_a_bare_system_are_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(debian, "PATH", "/nowhere")
    with pytest.raises(pytest.fail.Exception, match="needs Debian's shellcheck"):
        debian.program("shellcheck")
