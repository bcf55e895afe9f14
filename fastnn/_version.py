"""The version, for the package, its metadata and ``show_config``."""

__version__ = "0.1.0"
