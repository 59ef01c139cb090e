"""ONE FILE PER PROTOCOL, found by name (exporters/collector.py has the contract)."""
