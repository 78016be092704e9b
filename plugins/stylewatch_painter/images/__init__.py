"""Reading and writing of pictures: decoding, encoding, color management, alpha, masks."""
