"""How requests end otherwise than by their answer: clients that go, and a service that stops."""
