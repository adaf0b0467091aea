"""Sparkplug B as a host application sees it (Eclipse Sparkplug 3.0; docs/wire-sparkplug.md).

`schema` and `payload` are the wire format, `session` what an edge node's messages mean one after the other; these are
pure. `host` speaks to the broker, `intake` brings both together with the registry.
"""
