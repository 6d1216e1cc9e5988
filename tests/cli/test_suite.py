"""`suite schema` prints what editors need."""

from __future__ import annotations

import json


def test_the_schema_of_suites_is_json_and_knows_the_test_kinds(invoke):
    schema = json.loads(invoke("suite", "schema").stdout)
    assert {"test_identity", "test_invariance"} <= schema["$defs"].keys()
    assert "distance" in schema["$defs"]["test_correspondence"]["properties"]
