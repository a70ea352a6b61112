//! Chunk store on disk: node store and bounded client cache.
