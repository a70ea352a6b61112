-- Where each device says it can be reached: its own signed statement, handed to its account's other devices.

ALTER TABLE device ADD COLUMN addresses BYTEA;
ALTER TABLE device ADD COLUMN addresses_time BIGINT NOT NULL DEFAULT 0;
