"""chappe: a self-hosted SMS gateway that speaks other providers' languages."""

__version__ = "0.1.0"
