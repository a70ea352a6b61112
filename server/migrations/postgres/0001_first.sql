-- The first schema: the tables of migrations/sqlite/0001_first.sql, column by column. Times are
-- microseconds since 1970, ids and hashes are byte strings of fixed length, flags are 0 or 1 as
-- there, so that statements and partial indexes have one text for both databases.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

CREATE TABLE account (
    id            BYTEA PRIMARY KEY,
    login_hash    BYTEA NOT NULL UNIQUE,      -- keyed hash of the login name; the name is not stored
    opaque_record BYTEA NOT NULL,
    kdf_m_kib     BIGINT NOT NULL,
    kdf_t         BIGINT NOT NULL,
    kdf_p         BIGINT NOT NULL,
    log_len       BIGINT NOT NULL,          -- number of entries; the append lock
    created       BIGINT NOT NULL
);

CREATE TABLE log_entry (
    account_id BYTEA NOT NULL REFERENCES account (id),
    seq        BIGINT NOT NULL,
    hash       BYTEA NOT NULL,
    entry      BYTEA NOT NULL,
    created    BIGINT NOT NULL,
    PRIMARY KEY (account_id, seq)
);

CREATE TABLE device (
    id         BYTEA PRIMARY KEY,
    account_id BYTEA NOT NULL REFERENCES account (id),
    sign_pk    BYTEA NOT NULL,
    tls_pk     BYTEA NOT NULL,
    revoked    BIGINT NOT NULL,
    created    BIGINT NOT NULL
);

CREATE TABLE unlock_box (
    account_id BYTEA NOT NULL REFERENCES account (id),
    path       BIGINT NOT NULL,
    path_id    BYTEA NOT NULL,
    generation BIGINT NOT NULL,
    sealed     BYTEA NOT NULL,
    PRIMARY KEY (account_id, path, path_id, generation)
);

CREATE TABLE account_key (
    account_id         BYTEA NOT NULL REFERENCES account (id),
    kind               BIGINT NOT NULL,
    generation         BIGINT NOT NULL,
    wrapper_generation BIGINT NOT NULL,
    sealed             BYTEA NOT NULL,
    PRIMARY KEY (account_id, kind, generation, wrapper_generation)
);

CREATE TABLE session (
    token_hash BYTEA PRIMARY KEY,
    account_id BYTEA NOT NULL REFERENCES account (id),
    device_id  BYTEA,                         -- null: a password session
    expires    BIGINT NOT NULL
);
CREATE INDEX session_by_expiry ON session (expires);
CREATE INDEX session_by_device ON session (device_id);

CREATE TABLE invite (
    code_hash BYTEA PRIMARY KEY,
    expires   BIGINT NOT NULL,
    used_by   BYTEA
);

CREATE TABLE vault (
    id        BYTEA PRIMARY KEY,
    owner     BYTEA NOT NULL REFERENCES account (id),
    vault_seq BIGINT NOT NULL,              -- number of the newest commit; the commit lock
    created   BIGINT NOT NULL
);
CREATE INDEX vault_by_owner ON vault (owner, id);

CREATE TABLE vault_key (
    vault_id           BYTEA NOT NULL REFERENCES vault (id),
    kind               BIGINT NOT NULL,
    generation         BIGINT NOT NULL,
    wrapper_generation BIGINT NOT NULL,
    sealed             BYTEA NOT NULL,
    PRIMARY KEY (vault_id, kind, generation, wrapper_generation)
);

CREATE TABLE vault_commit (
    vault_id    BYTEA NOT NULL REFERENCES vault (id),
    vault_seq   BIGINT NOT NULL,
    device_id   BYTEA NOT NULL,
    incarnation BIGINT NOT NULL,
    device_seq  BIGINT NOT NULL,
    hash        BYTEA NOT NULL,
    bytes       BYTEA NOT NULL,
    created     BIGINT NOT NULL,
    PRIMARY KEY (vault_id, vault_seq)
);
CREATE UNIQUE INDEX commit_by_chain ON vault_commit (vault_id, device_id, incarnation, device_seq);

CREATE TABLE version (
    vault_id   BYTEA NOT NULL REFERENCES vault (id),
    hash       BYTEA NOT NULL,
    record_id  BYTEA NOT NULL,
    vault_seq  BIGINT NOT NULL,             -- the commit that brought it
    device_id  BYTEA NOT NULL,
    ciphertext BYTEA NOT NULL,
    head       BIGINT NOT NULL,             -- no known version replaces it
    missing    BIGINT NOT NULL,             -- chunks not yet on enough nodes; 0 is placed
    PRIMARY KEY (vault_id, hash)
);
CREATE INDEX version_heads ON version (vault_id, record_id) WHERE head = 1;
CREATE INDEX version_unplaced ON version (vault_id, device_id) WHERE head = 1 AND missing > 0;

CREATE TABLE superseded (                    -- also of versions that have not arrived yet
    vault_id BYTEA NOT NULL REFERENCES vault (id),
    hash     BYTEA NOT NULL,
    by_hash  BYTEA NOT NULL,
    PRIMARY KEY (vault_id, hash, by_hash)
);

CREATE TABLE chunk_ref (                     -- owner: a version's hash, or a manifest node's chunk id
    vault_id BYTEA NOT NULL REFERENCES vault (id),
    owner    BYTEA NOT NULL,
    ids      BYTEA NOT NULL,                  -- chunk ids, 32 bytes each
    PRIMARY KEY (vault_id, owner)
);

CREATE TABLE pending (                       -- a version waits for this chunk
    vault_id BYTEA NOT NULL REFERENCES vault (id),
    chunk_id BYTEA NOT NULL,
    version  BYTEA NOT NULL,
    PRIMARY KEY (vault_id, chunk_id, version)
);

CREATE TABLE node (
    id             BYTEA PRIMARY KEY,
    sign_pk        BYTEA NOT NULL UNIQUE,
    cert           BYTEA NOT NULL,            -- signed by this server
    weight         BIGINT NOT NULL,
    addresses      TEXT NOT NULL,            -- one a line, best first
    capacity_bytes BIGINT NOT NULL,
    used_bytes     BIGINT NOT NULL,
    free_bytes     BIGINT NOT NULL,
    heartbeat_time BIGINT NOT NULL,         -- seconds by the node's clock; rises
    last_seen      BIGINT NOT NULL,
    created        BIGINT NOT NULL
);

CREATE TABLE placement (                     -- from node-signed receipts
    vault_id  BYTEA NOT NULL REFERENCES vault (id),
    chunk_id  BYTEA NOT NULL,
    node_id   BYTEA NOT NULL REFERENCES node (id),
    len_bytes BIGINT NOT NULL,
    created   BIGINT NOT NULL,
    PRIMARY KEY (vault_id, chunk_id, node_id)
);

CREATE TABLE join_token (
    token_hash BYTEA PRIMARY KEY,
    expires    BIGINT NOT NULL,
    used_by    BYTEA                          -- the signing key that used it
);

CREATE TABLE layout (
    epoch        BIGINT PRIMARY KEY,
    write_quorum BIGINT NOT NULL,
    bytes        BYTEA NOT NULL,              -- signed by this server
    created      BIGINT NOT NULL
);
