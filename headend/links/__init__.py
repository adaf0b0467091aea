"""Connections to devices: MQTT, Sparkplug B, Modbus TCP."""
