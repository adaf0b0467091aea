-- What the roles of dashboards/role.sql may read in the head-end's schema, which is the current one. Applied whenever a
-- head-end starts; without the roles it does nothing. What is not named here they do not see: payloads of dead letters,
-- parameters and counters of commands, whatever is added later.
DO $grants$
DECLARE
    here text := current_schema;
BEGIN
    IF to_regrole('amilab_dashboards') IS NULL OR to_regrole('amilab_households') IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM amilab_dashboards, amilab_households', here);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO amilab_dashboards, amilab_households', here);

    GRANT SELECT ON
        headend_feature, device_state, device_communication, collector, communication_history, interval_gap,
        end_device_event, interruption, outage, outage_usage_point, detected_outage, outage_report,
        customer_interruption, reliability_indices, network_device, network_usage_point, transformer_meter,
        transformer_energy, load_test_sample, metered_energy, network_reading, poll_failure, poll_outcome,
        doubtful_interruption, reading_duty, dark_customer,
        known_darkness, judged_reading, reachability, request_outcome, poll_result, phase_voltage,
        implausible_interval, dead_letter_origin, command_step, voltage_event, metered_reactive_energy, clock_doubt,
        traffic, meter_carrier, told_event
    TO amilab_dashboards;
    GRANT SELECT (id, serial, vendor_profile, usage_point, device_group, address, registered_at, interval_length_s,
        report_every_s, max_current_a) ON end_device TO amilab_dashboards;
    GRANT SELECT (id, received_at, topic, reason, copies, ingested_at) ON dead_letter TO amilab_dashboards;
    GRANT SELECT (id, meter_id, purpose, requested_by, requested_at, not_before, expires_at, status, attempts, finished_at,
        reason, round_trip_s) ON command TO amilab_dashboards;
    GRANT SELECT ON interval_reading, stored_reading, last_reading, reading_hourly, reading_daily, register_reading,
        other_reading, implausible_reading, on_demand_reading TO amilab_households;
END
$grants$;
