//! What the log formats and the spans print of a request.
