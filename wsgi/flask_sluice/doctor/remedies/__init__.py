"""For each kind of fault the lines that mend it, by product."""
