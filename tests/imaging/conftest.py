from olpipe.testing.fixtures import plugin_folder

__all__ = ["plugin_folder"]
