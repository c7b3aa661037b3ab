"""What the package promises, tried at length: `python -m examples.stress.threads`."""
