-- Login attempts and device challenges that were used, so that none counts twice, on whichever
-- server of several it comes back. They ride with the client; only what is spent is remembered.

CREATE TABLE spent (
    token_hash BLOB PRIMARY KEY,
    expires    INTEGER NOT NULL
) STRICT;
CREATE INDEX spent_by_expiry ON spent (expires);
