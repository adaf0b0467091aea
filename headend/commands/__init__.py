"""Commands to devices, made durable and signed."""
