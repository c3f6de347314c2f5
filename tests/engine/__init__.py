"""Sluice in front of a real engine: llama.cpp's own server, with a model of random weights."""
