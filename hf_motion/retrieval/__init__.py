"""Motions and texts in one space."""
