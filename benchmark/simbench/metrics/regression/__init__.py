"""Prediction of one representation from another."""
