"""Hazards (隐患) and their rectification: recorded, answered by the mine, closed by those above."""
