SELECT count(DISTINCT meter_id) AS value FROM dark_customer WHERE ended_at IS NULL AND dark_to IS NULL
