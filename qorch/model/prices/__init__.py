"""Price cards: what a backend asks for a unit of what is billed, where that was read, and how sure it is."""
