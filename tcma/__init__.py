"""TCMA: through-channel marketing automation."""
