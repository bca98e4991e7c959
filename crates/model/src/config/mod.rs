//! The table of configs.
