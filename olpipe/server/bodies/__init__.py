"""What requests and responses carry: JSON and forms on the way in; JSON, lines and events on the way out."""
