"""Live sound: the service's own WebSocket, OpenAI's Realtime, and Wyoming for Home Assistant."""
