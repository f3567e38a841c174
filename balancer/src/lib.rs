//! Pure algorithms of the data plane.
