"""How frames reach the head-end: MQTT, Sparkplug B, Modbus TCP. Carriers know no vendor."""
