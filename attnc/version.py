"""The version, which a test compares with that of the project file."""

__version__ = "0.1.0"
