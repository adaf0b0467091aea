-- A dead letter may stand for many: what a device sends beyond its bounds is counted, and the first of each hour is kept.
-- copies: how many messages or rows the letter stands for.
ALTER TABLE dead_letter ADD COLUMN copies bigint NOT NULL DEFAULT 1;
