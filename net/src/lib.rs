//! Links between machines: quinn, requests over a link, the coordination client.
