"""Jobs: their life, the queue, attempts, and what people ask of them."""
