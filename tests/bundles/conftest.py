"""The bundle that the tests of `verify` share."""

from __future__ import annotations

from tests.verify.conftest import check, files, made, stranger

__all__ = ["check", "files", "made", "stranger"]
