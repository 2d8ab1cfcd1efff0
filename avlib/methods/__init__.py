"""The methods: one paper, one file, one class with ``embed(batch)`` and ``loss(batch, step)``."""
