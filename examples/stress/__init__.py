"""What the package promises, tried at length: threads, interrupts, files.

Run from the project's root, as in ``python -m examples.stress.threads --seconds 20``.
"""
