"""How well one representation predicts another."""
