-- Which cell of the mobile network a meter is planned for: the shipment file may say it. What recovery asks of the meters
-- of one cell together is bounded. Empty: nobody says, or it has none.
ALTER TABLE end_device ADD COLUMN cell text NOT NULL DEFAULT '';
