"""The recipe model and the recipes that ship."""
