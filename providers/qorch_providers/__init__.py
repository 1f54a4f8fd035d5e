"""Adapters: one package per place where rows execute. They know the model and the port, nothing else of qorch."""
