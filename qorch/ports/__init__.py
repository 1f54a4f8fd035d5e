"""What the engine asks of the world: a clock, backends and a store, with the values that they exchange."""
