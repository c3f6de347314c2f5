"""The way from an upstream's name to a connected socket."""
