"""The version of the package: part of what results depend on."""

__version__ = "0.1.0.dev0"
