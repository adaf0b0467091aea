"""Certificates and keys of everybody in a lab."""
