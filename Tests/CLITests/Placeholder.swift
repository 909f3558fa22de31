// Placeholder until the room has furniture.
