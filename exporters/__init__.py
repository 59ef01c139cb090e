"""OBSERVE: a protocol's own API -> Reading -> Prometheus metrics. Never imports the controller."""

__version__ = "0.1.0"
