//! The client: tables, journal, index, file bodies, transfer, sync.
