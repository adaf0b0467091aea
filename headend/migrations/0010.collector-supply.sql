-- mains: whether the collector says that it has supply (else it runs on its battery), and since when, by the head-end's
-- clock. Null for collectors that say nothing of it. It says nothing of their meters' supply.
ALTER TABLE collector ADD COLUMN mains boolean, ADD COLUMN mains_since timestamptz;
