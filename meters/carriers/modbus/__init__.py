"""Modbus meters and the gateways in front of them (docs/wire-sdm630.md)."""
