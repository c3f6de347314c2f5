"""How the streams of the field are asked for, and how they end."""
