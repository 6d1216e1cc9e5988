"""The packages here are installed by a test, not collected: one of them cannot even be imported."""

collect_ignore = ["good_plugin", "broken_plugin"]
