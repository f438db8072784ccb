"""What the environment and the config file decide."""

from olpipe.settings.table import MANAGEMENT, Found, Settings, debugging, look_up

__all__ = ["MANAGEMENT", "Found", "Settings", "debugging", "look_up"]
