"""Sparkplug B, the edge's side: docs/wire-sparkplug.md and the Eclipse Sparkplug specification, version 3.0."""
