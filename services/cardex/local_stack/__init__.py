"""The embedded single-machine stack: starts, watches and stops every part."""
