"""What a command needs before anything is trained: settings, data, memory."""
