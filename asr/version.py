"""The version of the package, for the program, its model files and the distribution."""

__version__ = "0.1.0"
