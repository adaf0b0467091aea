"""Meters with an MQTT connection of their own."""
