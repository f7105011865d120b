//! Processes on servers in memory.
