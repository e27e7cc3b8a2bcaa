"""Draws dispatch rooms that never existed, and trains the first person model on them. Nothing here runs in service
except `clips`, which gives the demonstration its cameras."""
