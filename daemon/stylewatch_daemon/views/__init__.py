"""The one view of a job and of its files, for the page and the commands.

It may import `client` and what is below it, to read; it decides and changes nothing. Begin with
`job`.
"""
