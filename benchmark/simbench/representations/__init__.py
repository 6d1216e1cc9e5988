"""Representations: the activations of one layer of one model on the probe inputs."""
