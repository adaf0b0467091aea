"""Modbus TCP: gateways, and the registers of the meters behind them as data."""
