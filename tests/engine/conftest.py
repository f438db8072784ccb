from olpipe.testing.fixtures import echo_plugin, plugin_folder

__all__ = ["echo_plugin", "plugin_folder"]
