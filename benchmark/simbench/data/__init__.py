"""Datasets: embedded ones first, torchvision's, and arrays from files."""
