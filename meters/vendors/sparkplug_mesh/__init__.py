"""Household meters that collectors read, with metrics named by OBIS codes (docs/wire-sparkplug.md)."""
