-- The loading of transformers whose meters have two registers of reactive energy, and no quadrants.

-- As in migration 0030, but where the interval has no quadrants, its reactive energy is what the registers from the
-- grid and into it (OBIS 3.8.0, 4.8.0) advanced by between the polls at its ends. Where one of these is missing, is not
-- believed, or began anew, it is of active power alone. Registers are of the secondary of instrument transformers.
CREATE OR REPLACE VIEW transformer_energy AS
SELECT
    e.transformer,
    e.meter_id,
    e.interval_start,
    e.interval_length_s,
    e.energy_wh,
    e.estimated,
    sqrt(e.energy_wh::float8 ^ 2 + coalesce(e.reactive_varh, e.registered_varh, 0)::float8 ^ 2)
        * 3.6 / e.interval_length_s / e.rated_kva * 100 AS loading_percent
FROM (
    SELECT t.transformer, t.meter_id, t.rated_kva, r.interval_start, r.interval_length_s,
        sum(coalesce(r.import_correction_wh, r.import_wh)) - sum(coalesce(r.export_correction_wh, r.export_wh, 0))
            AS energy_wh,
        sum(r.reactive_q1_varh + r.reactive_q2_varh - r.reactive_q3_varh - r.reactive_q4_varh)
            FILTER (WHERE r.revision = 0) AS reactive_varh,
        max(
            CASE
                WHEN closed.reactive_import_register_varh >= opened.reactive_import_register_varh
                    AND closed.reactive_export_register_varh >= opened.reactive_export_register_varh
                THEN (
                    closed.reactive_import_register_varh - opened.reactive_import_register_varh
                    - closed.reactive_export_register_varh + opened.reactive_export_register_varh
                ) * d.current_ratio * d.voltage_ratio
            END
        ) AS registered_varh,
        bool_and(r.quality = 1) AS estimated
    FROM interval_reading r
    JOIN transformer_meter t ON t.meter_id = r.meter_id
    JOIN end_device d ON d.id = r.meter_id
    LEFT JOIN register_reading opened ON opened.meter_id = r.meter_id AND opened.boundary = r.interval_start
        AND opened.implausible IS NULL
    LEFT JOIN register_reading closed ON closed.meter_id = r.meter_id
        AND closed.boundary = r.interval_start + r.interval_length_s * interval '1 second'
        AND closed.implausible IS NULL
    GROUP BY t.transformer, t.meter_id, t.rated_kva, r.interval_start, r.interval_length_s
) e;
