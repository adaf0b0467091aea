"""Shelly Pro 3EM: JSON over MQTT (docs/wire-shelly-pro-3em.md)."""
