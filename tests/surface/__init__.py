"""The same answer however a setting is given: its value, or the sentence that refuses it."""
