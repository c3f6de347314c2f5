"""Redis as a cluster: which server has which key, and commands to all of them."""
