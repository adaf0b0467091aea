"""Meters that have to be asked: Modbus TCP gateways, polled at each boundary of the interval grid."""
