"""Pure protocol cores: ZeroMQ multipart, WebSocket frames, the bridge, limits. No I/O."""
