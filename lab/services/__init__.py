"""The services that a run needs and does not bring itself: a database and a broker, embedded or external."""
