"""One meter, as arrays over many: clock, metrology, supply, records and memory."""
