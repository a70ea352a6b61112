//! HTTP, WebSocket, peer and control messages, error codes.
