"""The leaderboard as data: verdicts by metric and test, ranks, comparisons of two boards, and the evidence."""
