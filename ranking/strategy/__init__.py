"""The hybrid: the whole recommendation path, and how it is fitted."""
