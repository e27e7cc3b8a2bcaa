"""Detectors, and what else can be told from one picture."""
