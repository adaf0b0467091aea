"""What is a vendor's own: a folder each, with facts and their sources, and the wire. Nothing generic names one."""
