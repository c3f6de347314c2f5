"""How Redis is reached, on one server or several."""
