"""Muster: who was underground when the evacuation began, and what has become of everybody since."""
