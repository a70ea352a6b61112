-- The first schema. Times are microseconds since 1970, ids and hashes are blobs of fixed length.
-- Only BIGINT (here INTEGER), BLOB, TEXT and BOOLEAN (here INTEGER 0/1), so that the PostgreSQL
-- schema beside this one has the same tables and the same statements.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

CREATE TABLE account (
    id            BLOB PRIMARY KEY,
    login_hash    BLOB NOT NULL UNIQUE,      -- keyed hash of the login name; the name is not stored
    opaque_record BLOB NOT NULL,
    kdf_m_kib     INTEGER NOT NULL,
    kdf_t         INTEGER NOT NULL,
    kdf_p         INTEGER NOT NULL,
    log_len       INTEGER NOT NULL,          -- number of entries; the append lock
    created       INTEGER NOT NULL
) STRICT;

CREATE TABLE log_entry (
    account_id BLOB NOT NULL REFERENCES account (id),
    seq        INTEGER NOT NULL,
    hash       BLOB NOT NULL,
    entry      BLOB NOT NULL,
    created    INTEGER NOT NULL,
    PRIMARY KEY (account_id, seq)
) STRICT;

CREATE TABLE device (
    id         BLOB PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES account (id),
    sign_pk    BLOB NOT NULL,
    tls_pk     BLOB NOT NULL,
    revoked    INTEGER NOT NULL,
    created    INTEGER NOT NULL
) STRICT;

CREATE TABLE unlock_box (
    account_id BLOB NOT NULL REFERENCES account (id),
    path       INTEGER NOT NULL,
    path_id    BLOB NOT NULL,
    generation INTEGER NOT NULL,
    sealed     BLOB NOT NULL,
    PRIMARY KEY (account_id, path, path_id, generation)
) STRICT;

CREATE TABLE account_key (
    account_id         BLOB NOT NULL REFERENCES account (id),
    kind               INTEGER NOT NULL,
    generation         INTEGER NOT NULL,
    wrapper_generation INTEGER NOT NULL,
    sealed             BLOB NOT NULL,
    PRIMARY KEY (account_id, kind, generation, wrapper_generation)
) STRICT;

CREATE TABLE session (
    token_hash BLOB PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES account (id),
    device_id  BLOB,                         -- null: a password session
    expires    INTEGER NOT NULL
) STRICT;
CREATE INDEX session_by_expiry ON session (expires);
CREATE INDEX session_by_device ON session (device_id);

CREATE TABLE invite (
    code_hash BLOB PRIMARY KEY,
    expires   INTEGER NOT NULL,
    used_by   BLOB
) STRICT;

CREATE TABLE vault (
    id        BLOB PRIMARY KEY,
    owner     BLOB NOT NULL REFERENCES account (id),
    vault_seq INTEGER NOT NULL,              -- number of the newest commit; the commit lock
    created   INTEGER NOT NULL
) STRICT;
CREATE INDEX vault_by_owner ON vault (owner, id);

CREATE TABLE vault_key (
    vault_id           BLOB NOT NULL REFERENCES vault (id),
    kind               INTEGER NOT NULL,
    generation         INTEGER NOT NULL,
    wrapper_generation INTEGER NOT NULL,
    sealed             BLOB NOT NULL,
    PRIMARY KEY (vault_id, kind, generation, wrapper_generation)
) STRICT;

CREATE TABLE vault_commit (
    vault_id    BLOB NOT NULL REFERENCES vault (id),
    vault_seq   INTEGER NOT NULL,
    device_id   BLOB NOT NULL,
    incarnation INTEGER NOT NULL,
    device_seq  INTEGER NOT NULL,
    hash        BLOB NOT NULL,
    bytes       BLOB NOT NULL,
    created     INTEGER NOT NULL,
    PRIMARY KEY (vault_id, vault_seq)
) STRICT;
CREATE UNIQUE INDEX commit_by_chain ON vault_commit (vault_id, device_id, incarnation, device_seq);

CREATE TABLE version (
    vault_id   BLOB NOT NULL REFERENCES vault (id),
    hash       BLOB NOT NULL,
    record_id  BLOB NOT NULL,
    vault_seq  INTEGER NOT NULL,             -- the commit that brought it
    device_id  BLOB NOT NULL,
    ciphertext BLOB NOT NULL,
    head       INTEGER NOT NULL,             -- no known version replaces it
    missing    INTEGER NOT NULL,             -- chunks not yet on enough nodes; 0 is placed
    PRIMARY KEY (vault_id, hash)
) STRICT;
CREATE INDEX version_heads ON version (vault_id, record_id) WHERE head = 1;
CREATE INDEX version_unplaced ON version (vault_id, device_id) WHERE head = 1 AND missing > 0;

CREATE TABLE superseded (                    -- also of versions that have not arrived yet
    vault_id BLOB NOT NULL REFERENCES vault (id),
    hash     BLOB NOT NULL,
    by_hash  BLOB NOT NULL,
    PRIMARY KEY (vault_id, hash, by_hash)
) STRICT;

CREATE TABLE chunk_ref (                     -- owner: a version's hash, or a manifest node's chunk id
    vault_id BLOB NOT NULL REFERENCES vault (id),
    owner    BLOB NOT NULL,
    ids      BLOB NOT NULL,                  -- chunk ids, 32 bytes each
    PRIMARY KEY (vault_id, owner)
) STRICT;

CREATE TABLE pending (                       -- a version waits for this chunk
    vault_id BLOB NOT NULL REFERENCES vault (id),
    chunk_id BLOB NOT NULL,
    version  BLOB NOT NULL,
    PRIMARY KEY (vault_id, chunk_id, version)
) STRICT;

CREATE TABLE node (
    id             BLOB PRIMARY KEY,
    sign_pk        BLOB NOT NULL UNIQUE,
    cert           BLOB NOT NULL,            -- signed by this server
    weight         INTEGER NOT NULL,
    addresses      TEXT NOT NULL,            -- one a line, best first
    capacity_bytes INTEGER NOT NULL,
    used_bytes     INTEGER NOT NULL,
    free_bytes     INTEGER NOT NULL,
    heartbeat_time INTEGER NOT NULL,         -- seconds by the node's clock; rises
    last_seen      INTEGER NOT NULL,
    created        INTEGER NOT NULL
) STRICT;

CREATE TABLE placement (                     -- from node-signed receipts
    vault_id  BLOB NOT NULL REFERENCES vault (id),
    chunk_id  BLOB NOT NULL,
    node_id   BLOB NOT NULL REFERENCES node (id),
    len_bytes INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    PRIMARY KEY (vault_id, chunk_id, node_id)
) STRICT;

CREATE TABLE join_token (
    token_hash BLOB PRIMARY KEY,
    expires    INTEGER NOT NULL,
    used_by    BLOB                          -- the signing key that used it
) STRICT;

CREATE TABLE layout (
    epoch        INTEGER PRIMARY KEY,
    write_quorum INTEGER NOT NULL,
    bytes        BLOB NOT NULL,              -- signed by this server
    created      INTEGER NOT NULL
) STRICT;
