"""Bundles that hold a leaderboard with everything behind it, and the checks that anybody can repeat on one."""
