"""Reading and writing pictures: decoding, encoding, color management, alpha, masks."""
