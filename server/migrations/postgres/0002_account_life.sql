-- Recovery by the words alone: the account is found by the path id of its recovery key, and the user
-- name comes back sealed to that key. Both are null for an account made before, until it makes new words.

ALTER TABLE account ADD COLUMN recovery_id BYTEA;     -- hash of the recovery key's public halves
ALTER TABLE account ADD COLUMN user_box BYTEA;        -- the user name, sealed to the recovery key
CREATE UNIQUE INDEX account_by_recovery ON account (recovery_id);
