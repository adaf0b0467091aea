"""Who makes load: meters, collectors, Modbus masters, readers of dashboards."""
