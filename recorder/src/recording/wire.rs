//! What stands in a chunk.
