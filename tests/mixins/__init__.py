"""Contracts that every model and pipeline keeps; a new system's tests inherit them and say how to build a tiny one."""
