"""Vectorization by structure: a member's forward, rewritten for all members."""
