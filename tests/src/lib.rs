//! Whole-system scenarios, golden vectors, fuzz targets.
