"""Laws of painting: two ways to the same result give the same result (law 21)."""
